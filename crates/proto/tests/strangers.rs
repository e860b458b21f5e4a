//! Messages that are none, or say too much: read without a panic, and what is
//! accepted survives its way back.

#![allow(clippy::unwrap_used)]

#[path = "../../../tests/fuzz/src/corpus.rs"]
mod corpus;
#[path = "strangers/properties.rs"]
mod properties;

use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn what_fuzzing_came_upon() {
    corpus::try_all(&properties::TARGETS);
}

/// Bytes that look like protobuf: a field's number and kind, and what follows.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let field = (1_u8..16, 0_u8..6, vec(any::<u8>(), 0..24)).prop_map(|(number, kind, content)| {
        let mut bytes = vec![number << 3 | kind];
        if kind == 2 {
            bytes.push(u8::try_from(content.len()).unwrap_or(0));
        }
        bytes.extend(content);
        bytes
    });
    vec(field, 0..12).prop_map(|fields| fields.concat())
}

proptest! {
    #![proptest_config(corpus::cases())]

    #[test]
    fn batches_of_strangers(bytes in message()) {
        properties::batch(&bytes);
    }

    #[test]
    fn lists_among_roles(bytes in message()) {
        properties::list(&bytes);
    }
}
