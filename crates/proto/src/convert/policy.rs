//! How an endpoint's deliveries are made.

use domain::DeliveryPolicy;
use domain::custom_headers::SealedHeaders;
use domain::delivery_policy::{check_max_concurrency, check_timeout};

use crate::{DecodeError, pipeline};

impl From<&DeliveryPolicy> for pipeline::DeliveryPolicy {
    fn from(policy: &DeliveryPolicy) -> Self {
        let headers = policy
            .headers
            .as_ref()
            .map(|headers| pipeline::SealedHeaders {
                master_key_id: headers.master_key_id.clone(),
                sealed: headers.sealed.clone(),
            });
        Self {
            retry_schedule: policy.retry_schedule.as_ref().map(ToString::to_string),
            timeout_seconds: policy.timeout_seconds(),
            max_concurrency: policy.max_concurrency,
            headers,
            send_traceparent: policy.send_traceparent,
        }
    }
}

impl TryFrom<pipeline::DeliveryPolicy> for DeliveryPolicy {
    type Error = DecodeError;

    fn try_from(policy: pipeline::DeliveryPolicy) -> Result<Self, DecodeError> {
        let schedule = policy.retry_schedule.map(|text| text.parse());
        let timeout = policy.timeout_seconds.map(|it| check_timeout(it.into()));
        let limit = policy
            .max_concurrency
            .map(|it| check_max_concurrency(it.into()));
        Ok(Self {
            retry_schedule: schedule
                .transpose()
                .map_err(|_| DecodeError::Field("retry_schedule"))?,
            timeout: timeout
                .transpose()
                .map_err(|_| DecodeError::Field("timeout_seconds"))?,
            max_concurrency: limit
                .transpose()
                .map_err(|_| DecodeError::Field("max_concurrency"))?,
            headers: policy.headers.map(|headers| SealedHeaders {
                master_key_id: headers.master_key_id,
                sealed: headers.sealed,
            }),
            send_traceparent: policy.send_traceparent,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_policy_comes_back_as_it_was() {
        let all_set = DeliveryPolicy {
            retry_schedule: Some("1s,2min".parse().unwrap()),
            timeout: Some(Duration::from_secs(3)),
            max_concurrency: Some(4),
            headers: Some(SealedHeaders {
                master_key_id: "key".to_owned(),
                sealed: Bytes::from_static(b"sealed"),
            }),
            send_traceparent: false,
        };
        let no_retries = DeliveryPolicy {
            retry_schedule: Some("".parse().unwrap()),
            ..DeliveryPolicy::default()
        };
        for policy in [all_set, no_retries, DeliveryPolicy::default()] {
            let message = pipeline::DeliveryPolicy::from(&policy);
            assert_eq!(DeliveryPolicy::try_from(message), Ok(policy));
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let good = pipeline::DeliveryPolicy::from(&DeliveryPolicy::default());
        let field = |message| DeliveryPolicy::try_from(message).unwrap_err();
        let schedule = pipeline::DeliveryPolicy {
            retry_schedule: Some("soon".to_owned()),
            ..good.clone()
        };
        assert_eq!(field(schedule), DecodeError::Field("retry_schedule"));
        let timeout = pipeline::DeliveryPolicy {
            timeout_seconds: Some(0),
            ..good.clone()
        };
        assert_eq!(field(timeout), DecodeError::Field("timeout_seconds"));
        let limit = pipeline::DeliveryPolicy {
            max_concurrency: Some(257),
            ..good
        };
        assert_eq!(field(limit), DecodeError::Field("max_concurrency"));
    }
}
