//! Messages that are none, or say too much: read without a panic, and what is
//! accepted survives its way back.

#![allow(clippy::unwrap_used)]

#[path = "strangers/properties.rs"]
mod properties;

use proptest::collection::vec;
use proptest::prelude::*;

/// What has reached some part of the code in the course of fuzzing, and what was
/// found by it.
#[test]
fn what_fuzzing_came_upon() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus");
    for (name, property) in properties::TARGETS {
        let inputs = std::fs::read_dir(format!("{corpus}/{name}")).unwrap();
        let inputs: Vec<_> = inputs.map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            property(&std::fs::read(input).unwrap());
        }
    }
}

fn cases() -> ProptestConfig {
    let given = std::env::var_os("PROPTEST_CASES").is_some();
    let mut config = ProptestConfig::default();
    if !given {
        config.cases = 3_000;
    }
    config.failure_persistence = None;
    config
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
    #![proptest_config(cases())]

    #[test]
    fn batches_of_strangers(bytes in message()) {
        properties::batch(&bytes);
    }

    #[test]
    fn lists_among_roles(bytes in message()) {
        properties::list(&bytes);
    }
}
