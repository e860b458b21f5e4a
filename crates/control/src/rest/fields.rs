//! A JSON object, field by field: every complaint names its field, and what is
//! raw stays as it came.

use std::collections::BTreeMap;
use std::fmt;

use domain::json::mistake;
use domain::{Problem, Reason};
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// The fields that were not taken yet.
#[derive(Debug)]
pub(super) struct Fields(BTreeMap<String, Box<RawValue>>);

/// Names and texts, as they came.
type Texts = Vec<(String, String)>;

/// All pairs of an object, as they came.
struct Pairs(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl Fields {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body).map_err(|error| {
            let detail = format!("byte {} is not UTF-8; send UTF-8 text", error.valid_up_to());
            Problem::new(Reason::JsonMalformed, detail)
        })?;
        let Pairs(pairs) = serde_json::from_str(text).map_err(|error| {
            let (reason, wrong) = match error.classify() {
                Category::Data => {
                    let wrong = "the body is JSON, but no object".to_owned();
                    (Reason::RequestMalformed, wrong)
                }
                Category::Io | Category::Syntax | Category::Eof => {
                    (Reason::JsonMalformed, mistake(&error))
                }
            };
            Problem::new(reason, format!("{wrong}; send a JSON object"))
        })?;
        let mut fields = BTreeMap::new();
        for (name, value) in pairs {
            if fields.contains_key(&name) {
                return Err(invalid(&name, "it is there twice; send it once".to_owned()));
            }
            fields.insert(name, value);
        }
        Ok(Self(fields))
    }

    /// The same, but no body at all is an object without fields.
    pub(super) fn parse_optional(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            Ok(Self(BTreeMap::new()))
        } else {
            Self::parse(body)
        }
    }

    /// Takes a field that must be there.
    pub(super) fn required<T: DeserializeOwned>(
        &mut self,
        name: &str,
        kind: &str,
    ) -> Result<T, Problem> {
        let missing = || invalid(name, format!("it is missing; send {kind}"));
        read(name, kind, &self.0.remove(name).ok_or_else(missing)?)
    }

    /// Takes a field that may be absent, but not null.
    pub(super) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
        kind: &str,
    ) -> Result<Option<T>, Problem> {
        self.0
            .remove(name)
            .map(|value| read(name, kind, &value))
            .transpose()
    }

    /// Takes a field that may be absent, or null, which means something else.
    pub(super) fn nullable<T: DeserializeOwned>(
        &mut self,
        name: &str,
        kind: &str,
    ) -> Result<Option<Option<T>>, Problem> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(value) if value.get() == "null" => Ok(Some(None)),
            Some(value) => read(name, kind, &value).map(|value| Some(Some(value))),
        }
    }

    /// Takes a field that is an object of texts, or null, or absent. A name that
    /// is there twice stays twice.
    pub(super) fn texts(
        &mut self,
        name: &str,
        kind: &str,
    ) -> Result<Option<Option<Texts>>, Problem> {
        let Some(pairs) = self.nullable::<Pairs>(name, kind)? else {
            return Ok(None);
        };
        let text = |(key, value): (String, Box<RawValue>)| Ok((key, read(name, kind, &value)?));
        pairs
            .map(|Pairs(pairs)| pairs.into_iter().map(text).collect())
            .transpose()
            .map(Some)
    }

    /// Takes a field as it was written.
    pub(super) fn raw(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.remove(name)
    }

    /// Refuses what was not taken.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(invalid(
                &name,
                "there is no such field here; leave it out".to_owned(),
            )),
        }
    }
}

/// Refuses a field.
pub(super) fn invalid(name: &str, message: String) -> Problem {
    Problem::of_field(Reason::FieldInvalid, name, message)
}

fn read<T: DeserializeOwned>(name: &str, kind: &str, value: &RawValue) -> Result<T, Problem> {
    serde_json::from_str(value.get()).map_err(|_| invalid(name, format!("send {kind}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_complaint_names_its_field() {
        let mut fields = Fields::parse(br#"{"a":1,"b":null,"c":"x"}"#).unwrap();
        let problem = fields.required::<String>("a", "a text").unwrap_err();
        assert_eq!(
            (problem.reason, problem.fields[0].field.as_str()),
            (Reason::FieldInvalid, "a")
        );
        assert!(fields.required::<String>("d", "a text").is_err());
        assert_eq!(
            fields.nullable::<String>("b", "a text").unwrap(),
            Some(None)
        );
        assert_eq!(fields.nullable::<String>("e", "a text").unwrap(), None);
        assert_eq!(fields.finish().unwrap_err().fields[0].field, "c");
    }

    #[test]
    fn an_object_of_texts_keeps_every_pair() {
        let body = br#"{"a":{"x":"1","x":"2"},"b":null,"c":{"x":1},"d":["x"]}"#;
        let mut fields = Fields::parse(body).unwrap();
        let mut texts = |name| fields.texts(name, "an object of texts");
        let pair = |value: &str| ("x".to_owned(), value.to_owned());
        assert_eq!(texts("a"), Ok(Some(Some(vec![pair("1"), pair("2")]))));
        assert_eq!(texts("b"), Ok(Some(None)));
        assert_eq!(texts("e"), Ok(None));
        for wrong in ["c", "d"] {
            assert_eq!(texts(wrong).unwrap_err().fields[0].field, wrong);
        }
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_no_json() {
        let reason = |body: &[u8]| Fields::parse(body).unwrap_err().reason;
        assert_eq!(reason(b"{"), Reason::JsonMalformed);
        assert_eq!(reason(b""), Reason::JsonMalformed);
        assert_eq!(reason(b"{\"a\":\xff}"), Reason::JsonMalformed);
        assert_eq!(reason(b"[]"), Reason::RequestMalformed);
        assert_eq!(reason(br#"{"a":1,"a":2}"#), Reason::FieldInvalid);
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(reason(deep.as_bytes()), Reason::RequestMalformed);
    }

    #[test]
    fn what_is_raw_stays_as_it_came() {
        let mut fields =
            Fields::parse(br#"{"o": { "n": 12345678901234567890.10 , "e":"\u00e9"} }"#).unwrap();
        let raw = fields.raw("o").unwrap();
        assert_eq!(
            raw.get(),
            r#"{ "n": 12345678901234567890.10 , "e":"\u00e9"}"#
        );
    }
}
