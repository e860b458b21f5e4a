use std::collections::BTreeMap;

use domain::custom_headers::{CustomHeaders, REDACTED};
use domain::delivery_policy::{
    DeliveryPolicyChange, check_max_concurrency, check_retry_schedule, check_timeout,
};
use domain::key::{Identity, Need};
use domain::retry::format_duration;
use domain::{Endpoint, EndpointId, FieldViolation, Problem, Reason};
use tracing::error;

use super::super::Control;
use super::check::Faults;

/// What is to change of a delivery policy, in the caller's words; `None` is
/// left as it is, `Some(None)` goes back to the deployment's.
#[derive(Debug, Default)]
pub(crate) struct PolicyChange {
    pub(crate) retry_schedule: Option<Option<Vec<String>>>,
    pub(crate) timeout_seconds: Option<Option<i64>>,
    pub(crate) max_concurrency: Option<Option<i64>>,
    /// Replaces all headers.
    pub(crate) headers: Option<CallersHeaders>,
    pub(crate) send_traceparent: Option<bool>,
}

/// Headers in the caller's words. `Debug` shows none.
#[derive(Default)]
pub(crate) struct CallersHeaders(pub(crate) Vec<(String, String)>);

impl std::fmt::Debug for CallersHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallersHeaders").finish_non_exhaustive()
    }
}

/// A delivery policy as both APIs show it. The headers' values are only there
/// for those who may see secrets.
#[derive(Clone)]
pub(crate) struct PolicyView {
    pub(crate) retry_schedule: Option<Vec<String>>,
    pub(crate) timeout_seconds: Option<u32>,
    pub(crate) max_concurrency: Option<u32>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) send_traceparent: bool,
}

impl std::fmt::Debug for PolicyView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyView").finish_non_exhaustive()
    }
}

impl Control {
    /// Checks each field that is to change; headers are sealed for `endpoint`.
    pub(super) fn check_policy(
        &self,
        endpoint: EndpointId,
        change: PolicyChange,
        faults: &mut Faults,
    ) -> DeliveryPolicyChange {
        let schedule = change.retry_schedule.map(|delays| {
            delays
                .map(|delays| check_retry_schedule(delays.iter().map(String::as_str)))
                .transpose()
        });
        let timeout = change
            .timeout_seconds
            .map(|seconds| seconds.map(check_timeout).transpose());
        let limit = change
            .max_concurrency
            .map(|count| count.map(check_max_concurrency).transpose());
        let headers = change
            .headers
            .map(|headers| CustomHeaders::check(headers.0))
            .map(|checked| {
                checked.map(|headers| {
                    let vault = &self.0.deps.vault;
                    (!headers.is_empty()).then(|| headers.seal(vault, endpoint, rand::random()))
                })
            });
        DeliveryPolicyChange {
            retry_schedule: faults.take(schedule),
            timeout: faults.take(timeout),
            max_concurrency: faults.take(limit),
            headers: faults.take(headers),
            send_traceparent: change.send_traceparent,
        }
    }

    pub(super) fn show_policy(
        &self,
        identity: &Identity,
        endpoint: &Endpoint,
    ) -> Result<PolicyView, Problem> {
        let policy = &endpoint.policy;
        let schedule = policy.retry_schedule.as_ref();
        Ok(PolicyView {
            retry_schedule: schedule.map(|schedule| {
                let delays = schedule.delays().iter().copied();
                delays.map(format_duration).collect()
            }),
            timeout_seconds: policy.timeout_seconds(),
            max_concurrency: policy.max_concurrency,
            headers: self.show_headers(identity, endpoint)?,
            send_traceparent: policy.send_traceparent,
        })
    }

    fn show_headers(
        &self,
        identity: &Identity,
        endpoint: &Endpoint,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let Some(sealed) = &endpoint.policy.headers else {
            return Ok(BTreeMap::new());
        };
        let opened = sealed.open(&self.0.deps.vault, endpoint.id);
        let headers = opened.map_err(|_| {
            error!(endpoint = %endpoint.id, "the master key does not open custom headers");
            let detail = "the endpoint's headers cannot be read; ask the operator whether the \
                          master key changed";
            Problem::new(Reason::Internal, detail)
        })?;
        let may_see = identity.authorise(&endpoint.account, Need::Admin).is_ok();
        let shown = |(name, value): (&str, &str)| {
            let value = if may_see { value } else { REDACTED };
            (name.to_owned(), value.to_owned())
        };
        Ok(headers.expose().map(shown).collect())
    }
}

impl Faults {
    /// What was checked, if it was to be and is acceptable.
    fn take<T>(&mut self, checked: Option<Result<T, FieldViolation>>) -> Option<T> {
        match checked? {
            Ok(value) => Some(value),
            Err(violation) => {
                self.add(Reason::FieldInvalid, violation);
                None
            }
        }
    }
}
