//! What is shared by the tests of what strangers write.

use std::path::Path;

use proptest::prelude::ProptestConfig;

/// A target's name and its property.
type Target = (&'static str, fn(&[u8]));

/// Tries what has reached some part of the code in the course of fuzzing, and
/// what was found by it.
pub(crate) fn try_all(targets: &[Target]) {
    let corpus = Path::new("../../tests/fuzz/corpus");
    for (name, property) in targets {
        let inputs = std::fs::read_dir(corpus.join(name)).unwrap();
        let inputs: Vec<_> = inputs.map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            property(&std::fs::read(input).unwrap());
        }
    }
}

/// How often to try at random: `PROPTEST_CASES` times, or 3,000.
pub(crate) fn cases() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 3_000;
    }
    config.failure_persistence = None;
    config
}
