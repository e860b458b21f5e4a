//! Events about a customer's endpoints that Postrider itself publishes. But for
//! the challenge, none goes to the endpoint it is about, and deliveries of them
//! raise none.

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use crate::id::NAMESPACE;
use crate::{EndpointId, Timestamp};

/// A challenge that the endpoint it goes to must echo. It is in no catalogue, so
/// nobody can subscribe to it, publish it, or send it as a test.
pub const ENDPOINT_VERIFICATION: &str = "endpoint.verification";

/// An endpoint was disabled, not by its owner.
pub const ENDPOINT_DISABLED: &str = "endpoint.disabled";

/// An endpoint that had been failing accepts events again.
pub const ENDPOINT_RECOVERED: &str = "endpoint.recovered";

/// A delivery has used up its retries.
pub const DELIVERY_EXHAUSTED: &str = "delivery.exhausted";

/// What an [`ENDPOINT_DISABLED`] says.
#[derive(Debug, Clone, Copy)]
pub struct EndpointDisabled<'a> {
    pub endpoint: EndpointId,
    /// How often it has been disabled, this time included.
    pub generation: u64,
    pub url: &'a str,
    pub description: &'a str,
    /// For its owner.
    pub reason: &'a str,
    pub disabled_at: Timestamp,
}

impl EndpointDisabled<'_> {
    /// The id of raising it: the same however often it is raised for one
    /// disabling.
    #[must_use]
    pub fn raise_id(&self) -> Uuid {
        let name = format!(
            "{ENDPOINT_DISABLED}\0{}\0{}",
            self.endpoint, self.generation
        );
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }

    /// `data.object`.
    #[must_use]
    pub fn object(&self) -> Bytes {
        let object = json!({
            "endpoint_id": self.endpoint.to_string(),
            "url": self.url,
            "description": self.description,
            "reason": self.reason,
            "disabled_at": self.disabled_at.rfc3339(),
        });
        object.to_string().into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn each_disabling_is_raised_under_an_id_of_its_own() {
        let disabled = |endpoint, generation| EndpointDisabled {
            endpoint,
            generation,
            url: "https://example.com/",
            description: "d",
            reason: "r",
            disabled_at: Timestamp::from_unix_millis(0),
        };
        let endpoint = EndpointId::from_uuid(Uuid::from_u128(1));
        let first = disabled(endpoint, 1);
        assert_eq!(first.raise_id(), disabled(endpoint, 1).raise_id());
        assert_ne!(first.raise_id(), disabled(endpoint, 2).raise_id());
        assert_ne!(first.raise_id(), disabled(EndpointId::new(), 1).raise_id());
    }

    #[test]
    fn the_object_is_as_the_catalogue_describes_it() {
        let definition = catalogue::operational()[0];
        assert_eq!(definition.name, ENDPOINT_DISABLED);
        let object = EndpointDisabled {
            endpoint: EndpointId::new(),
            generation: 1,
            url: "https://example.com/",
            description: "\"quoted\"",
            reason: "r",
            disabled_at: Timestamp::from_unix_millis(1_747_147_674_123),
        }
        .object();
        let object: serde_json::Value = serde_json::from_slice(&object).unwrap();
        let schema: serde_json::Value = serde_json::from_str(definition.schema).unwrap();
        let described = schema["properties"].as_object().unwrap();
        let said = object.as_object().unwrap();
        assert!(said.keys().eq(described.keys()), "{object}");
        assert_eq!(said["disabled_at"], "2025-05-13T14:47:54.123Z");
    }
}
