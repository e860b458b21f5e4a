//! Texts as the tables hold them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::Headers;

/// PostgreSQL stores no NUL in a text.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A JSON object by lower-case name; repeated headers are joined, and bytes
/// that are not UTF-8 are read as ISO 8859-1.
pub(super) fn headers(headers: &Headers) -> String {
    let mut map: BTreeMap<Cow<'_, str>, Cow<'_, str>> = BTreeMap::new();
    for (name, value) in headers.iter() {
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        let value = match std::str::from_utf8(value) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
        };
        map.entry(name)
            .and_modify(|joined| {
                let joined = joined.to_mut();
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    serde_json::to_string(&map).unwrap_or_default()
}
