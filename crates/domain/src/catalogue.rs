//! The event types that every deployment begins with.

/// An event type as the catalogue shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTypeDefinition {
    pub name: &'static str,
    pub description: &'static str,
    /// JSON Schema, draft 2020-12, of `data.object`. It documents; publishing
    /// does not enforce it.
    pub schema: &'static str,
    /// A lifelike `data.object`, which a test event sends.
    pub example: &'static str,
}

/// The built-in event types.
#[must_use]
pub const fn built_in() -> &'static [EventTypeDefinition; 3] {
    &BUILT_IN
}

/// The types of what Postrider itself publishes about a customer's endpoints.
/// Endpoints subscribe to them like to any other; nobody else publishes them.
#[must_use]
pub const fn operational() -> &'static [EventTypeDefinition; 3] {
    &OPERATIONAL
}

const BUILT_IN: [EventTypeDefinition; 3] = [
    EventTypeDefinition {
        name: "message.incoming",
        description: "A message came in from a contact.",
        schema: include_str!("catalogue/message.incoming.schema.json").trim_ascii(),
        example: include_str!("catalogue/message.incoming.example.json").trim_ascii(),
    },
    EventTypeDefinition {
        name: "message.report",
        description: "A message that was sent changed its status: sent, delivered, read or failed.",
        schema: include_str!("catalogue/message.report.schema.json").trim_ascii(),
        example: include_str!("catalogue/message.report.example.json").trim_ascii(),
    },
    EventTypeDefinition {
        name: "form.submitted",
        description: "A contact filled in a form and sent it.",
        schema: include_str!("catalogue/form.submitted.schema.json").trim_ascii(),
        example: include_str!("catalogue/form.submitted.example.json").trim_ascii(),
    },
];

const OPERATIONAL: [EventTypeDefinition; 3] = [
    EventTypeDefinition {
        name: crate::operational::ENDPOINT_DISABLED,
        description: "Another endpoint was disabled by Postrider; it gets nothing until it is enabled again.",
        schema: include_str!("catalogue/endpoint.disabled.schema.json").trim_ascii(),
        example: include_str!("catalogue/endpoint.disabled.example.json").trim_ascii(),
    },
    EventTypeDefinition {
        name: crate::operational::ENDPOINT_RECOVERED,
        description: "Another endpoint that had been failing accepts events again.",
        schema: include_str!("catalogue/endpoint.recovered.schema.json").trim_ascii(),
        example: include_str!("catalogue/endpoint.recovered.example.json").trim_ascii(),
    },
    EventTypeDefinition {
        name: crate::operational::DELIVERY_EXHAUSTED,
        description: "A delivery to another endpoint failed: its retries are used up.",
        schema: include_str!("catalogue/delivery.exhausted.schema.json").trim_ascii(),
        example: include_str!("catalogue/delivery.exhausted.example.json").trim_ascii(),
    },
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{EventType, JsonObject};

    #[test]
    fn only_operational_types_are_reserved() {
        let reserved = |it: &EventTypeDefinition| EventType::parse(it.name).unwrap().is_reserved();
        assert!(!built_in().iter().any(reserved));
        assert!(operational().iter().all(reserved));
    }

    #[test]
    fn every_definition_is_well_formed() {
        for definition in built_in().iter().chain(operational()) {
            assert!(EventType::parse(definition.name).is_ok());
            for text in [definition.schema, definition.example] {
                JsonObject::parse(Bytes::from_static(text.as_bytes())).unwrap();
            }
            let schema: serde_json::Value = serde_json::from_str(definition.schema).unwrap();
            let example: serde_json::Value = serde_json::from_str(definition.example).unwrap();
            for required in schema["required"].as_array().unwrap() {
                assert!(
                    example.get(required.as_str().unwrap()).is_some(),
                    "{required}"
                );
            }
            for (name, _) in example.as_object().unwrap() {
                assert!(schema["properties"].get(name).is_some(), "{name}");
            }
        }
    }
}
