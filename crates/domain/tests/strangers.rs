//! What strangers write, taken apart: from a corpus of what they do write, bent
//! at random. Nothing panics, and what is accepted keeps its promise
//! ([`properties`]). What `make fuzz` has found is tried as it is.
//!
//! `PROPTEST_CASES=1000000 cargo test -p postrider-domain --test strangers` looks
//! for longer. What was found is kept in the corpus.

#![allow(clippy::unwrap_used)]

#[path = "../../../tests/fuzz/src/corpus.rs"]
mod corpus;
#[path = "strangers/properties.rs"]
mod properties;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const URLS: &str = include_str!("corpus/urls.txt");
const WORDS: &str = include_str!("corpus/words.txt");
const OBJECTS: &str = include_str!("corpus/objects.txt");

/// A bend of a text: at which part of it, how, with what.
type Bend = (u16, u8, char);

/// Lines of a corpus, bent a few times, or anything at all.
fn bent(corpus: &'static str) -> impl Strategy<Value = String> {
    let lines: Vec<&str> = corpus.lines().collect();
    let bend = (any::<u16>(), 0_u8..4, any::<char>());
    let bent = (select(lines.clone()), select(lines), vec(bend, 0..6));
    prop_oneof![
        9 => bent.prop_map(|(line, other, bends)| bend_all(line, other, &bends)),
        1 => any::<String>(),
    ]
}

fn bend_all(line: &str, other: &str, bends: &[Bend]) -> String {
    let mut text: Vec<char> = line.chars().collect();
    for (at, how, with) in bends {
        let at = usize::from(*at) % (text.len() + 1);
        match how {
            0 => text.insert(at, *with),
            1 if at < text.len() => drop(text.remove(at)),
            2 if at < text.len() => text[at] = *with,
            _ => text.splice(at.., other.chars().skip(at)).for_each(drop),
        }
    }
    text.into_iter().collect()
}

#[test]
fn what_fuzzing_came_upon() {
    corpus::try_all(&properties::TARGETS);
}

proptest! {
    #![proptest_config(corpus::cases())]

    #[test]
    fn urls(text in bent(URLS)) {
        properties::url(&text);
    }

    #[test]
    fn objects(text in bent(OBJECTS)) {
        properties::object(&text);
    }

    #[test]
    fn delays(text in bent(WORDS), now in any::<i64>()) {
        properties::delay(&text, now);
    }

    #[test]
    fn tokens(text in bent(WORDS), context in "[a-z ]{0,20}") {
        properties::token(&text, &context);
    }

    #[test]
    fn names(text in bent(WORDS)) {
        properties::name(&text);
    }

    #[test]
    fn headers(name in bent(WORDS), value in bent(WORDS)) {
        properties::header(&name, &value);
    }

    #[test]
    fn echoes(text in bent(OBJECTS), random in any::<[u8; 32]>(), at in any::<u16>()) {
        properties::echo(&text, random, at.into());
    }

    #[test]
    fn sealed(bytes in vec(any::<u8>(), 0..200)) {
        properties::sealed(&bytes);
    }
}
