//! The properties of what strangers write, tried by libFuzzer: those of the
//! target that `TARGET` names.
#![no_main]

#[path = "../../../crates/domain/tests/strangers/properties.rs"]
mod domains;
#[path = "../../../crates/proto/tests/strangers/properties.rs"]
mod protos;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    let mut targets = domains::TARGETS.iter().chain(&protos::TARGETS);
    let named = targets.find(|(known, _)| *known == name);
    named.map_or_else(
        || panic!("TARGET names none: {name:?}"),
        |(_, target)| *target,
    )
});

fuzz_target!(|bytes: &[u8]| (*TARGET)(bytes));
