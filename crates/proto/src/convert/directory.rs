//! The values of the directories.

use domain::key::KeyRecord;
use domain::vault::SealedSecret;
use domain::{DeliveryPolicy, Endpoint, EndpointId, Verification};

use super::{account, at, bytes, event_type, id, optional_at, optional_millis};
use crate::{DecodeError, pipeline};

impl From<&Endpoint> for pipeline::DirectoryEndpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let secrets = endpoint
            .secrets
            .iter()
            .map(|secret| pipeline::SealedSecret {
                master_key_id: secret.master_key_id.clone(),
                sealed: secret.sealed.clone(),
                valid_until_ms: optional_millis(secret.valid_until),
            });
        Self {
            id: bytes(endpoint.id.as_bytes()),
            account: endpoint.account.to_string(),
            version: endpoint.version,
            url: endpoint.url.clone(),
            event_types: endpoint
                .event_types
                .iter()
                .map(ToString::to_string)
                .collect(),
            disabled: endpoint.disabled,
            disabled_reason: endpoint.disabled_reason.clone(),
            generation: endpoint.generation,
            rate_limit: endpoint.rate_limit,
            created_at_ms: endpoint.created_at.unix_millis(),
            secrets: secrets.collect(),
            policy: Some((&endpoint.policy).into()),
            verification: pipeline::Verification::from(endpoint.verification).into(),
        }
    }
}

impl TryFrom<pipeline::DirectoryEndpoint> for Endpoint {
    type Error = DecodeError;

    fn try_from(endpoint: pipeline::DirectoryEndpoint) -> Result<Self, DecodeError> {
        let types = endpoint.event_types.iter().map(|name| event_type(name));
        let secrets = endpoint.secrets.into_iter().map(|secret| SealedSecret {
            master_key_id: secret.master_key_id,
            sealed: secret.sealed,
            valid_until: optional_at(secret.valid_until_ms),
        });
        // What this version does not know is not sent to.
        let verification = pipeline::Verification::try_from(endpoint.verification)
            .map_or(Verification::Pending, Verification::from);
        Ok(Self {
            verification,
            secrets: secrets.collect(),
            event_types: types.collect::<Result<_, _>>()?,
            id: id!(EndpointId, endpoint, id),
            account: account(&endpoint.account)?,
            version: endpoint.version,
            url: endpoint.url,
            disabled: endpoint.disabled,
            disabled_reason: endpoint.disabled_reason,
            generation: endpoint.generation,
            rate_limit: endpoint.rate_limit,
            policy: match endpoint.policy {
                None => DeliveryPolicy::default(),
                Some(policy) => policy.try_into()?,
            },
            created_at: at(endpoint.created_at_ms),
        })
    }
}

impl From<&KeyRecord> for pipeline::DirectoryKey {
    fn from(key: &KeyRecord) -> Self {
        Self {
            id: key.id.clone(),
            version: key.version,
            hash: key.hash.to_vec().into(),
            scope: pipeline::KeyScope::from(key.scope).into(),
            account: key
                .account
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            expires_at_ms: optional_millis(key.expires_at),
        }
    }
}

impl TryFrom<pipeline::DirectoryKey> for KeyRecord {
    type Error = DecodeError;

    fn try_from(key: pipeline::DirectoryKey) -> Result<Self, DecodeError> {
        Ok(Self {
            scope: key.scope().try_into()?,
            id: key.id,
            version: key.version,
            hash: key
                .hash
                .as_ref()
                .try_into()
                .map_err(|_| DecodeError::Field("hash"))?,
            account: match key.account.as_str() {
                "" => None,
                text => Some(account(text)?),
            },
            expires_at: optional_at(key.expires_at_ms),
        })
    }
}
