//! What a request carries: who calls, for which account, the query, the body.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use domain::audit::{Action, Via};
use domain::key::Identity;
use domain::{AccountId, Problem, Reason, Timestamp};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use proto::v1::Tag;
use telemetry::trace::{self, attribute};
use tokio::time::timeout;
use url::form_urlencoded;

use super::problem::Refusal;
use crate::core::Control;

/// A body may have this many bytes, a batch's more.
const MAX_BODY_BYTES: usize = 1_024 * 1_024;
pub(super) const MAX_BATCH_BYTES: usize = 8 * 1_024 * 1_024;

/// A body arrives within this, however slowly.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who calls. Looked at before anything else of the request.
#[derive(Debug)]
pub(super) struct Caller(pub(super) Identity);

impl FromRequestParts<Control> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        let token = proto::metadata::bearer_of(&parts.headers);
        let identity = control.authenticate(token).await?;
        let origin = proto::metadata::origin(Via::Rest, &parts.extensions);
        Ok(Self(identity.coming_from(origin)))
    }
}

/// Who calls for which account; `id` is the path's, empty if it has none.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) identity: Identity,
    pub(super) account: AccountId,
    pub(super) id: String,
}

impl Scope {
    /// Notes what was done through another role.
    pub(super) async fn note(&self, control: &Control, action: Action, target: &str) {
        let account = Some(&self.account);
        control.note(&self.identity, account, action, target).await;
    }
}

impl FromRequestParts<Control> for Scope {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        let Caller(identity) = Caller::from_request_parts(parts, control).await?;
        let params = RawPathParams::from_request_parts(parts, control)
            .await
            .map_err(|_| {
                Problem::new(
                    Reason::RequestMalformed,
                    "the path is not UTF-8; encode it as such",
                )
            })?;
        let param = |name| {
            params
                .iter()
                .find(|(key, _)| *key == name)
                .map_or("", |(_, value)| value)
        };
        let account = AccountId::parse(param("account"))?;
        trace::note(attribute::ACCOUNT, || account.to_string());
        Ok(Self {
            identity,
            account,
            id: param("id").to_owned(),
        })
    }
}

/// The query, each parameter at most once.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

/// Where in a list a page lies.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Items of the page: 20 unless given, 100 at most.
    #[param(minimum = 0)]
    pub(super) page_size: Option<u32>,
    /// The token of another page of the same list; empty for the first.
    pub(super) page_token: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let mut query = BTreeMap::new();
        let text = parts.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if query.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(malformed(&name, "name it once").into());
            }
        }
        Ok(Self(query))
    }
}

fn malformed(name: &str, message: &str) -> Problem {
    Problem::of_field(Reason::RequestMalformed, name, message)
}

impl Query {
    /// Takes a text, empty if it is absent.
    pub(super) fn text(&mut self, name: &str) -> String {
        self.0.remove(name).unwrap_or_default()
    }

    /// Takes one of a few words, empty if it is absent.
    pub(super) fn word(&mut self, name: &str, words: &[&str]) -> Result<String, Problem> {
        let text = self.text(name);
        if text.is_empty() || words.contains(&text.as_str()) {
            return Ok(text);
        }
        Err(malformed(name, &format!("use one of {}", words.join(", "))))
    }

    /// Takes a whole number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u32>, Problem> {
        match self.text(name).as_str() {
            "" => Ok(None),
            text => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(malformed(name, "use a whole number")),
            },
        }
    }

    /// Takes a tag's name and value, in one parameter or in two: a name that holds
    /// `=` needs the two.
    pub(super) fn tag(&mut self) -> Result<Option<Tag>, Problem> {
        let text = self.text("tag");
        let (name, value) = (self.0.remove("tag_name"), self.0.remove("tag_value"));
        let tag = match (text.split_once('='), name, value) {
            (None, None, None) if text.is_empty() => return Ok(None),
            (None, Some(name), Some(value)) if text.is_empty() => Tag { name, value },
            (Some((name, value)), None, None) => Tag {
                name: name.to_owned(),
                value: value.to_owned(),
            },
            (None, None, None) => {
                let message = "use name=value, or tag_name and tag_value";
                return Err(malformed("tag", message));
            }
            (None, None, Some(_)) if text.is_empty() => {
                return Err(malformed("tag_name", "send it with tag_value"));
            }
            (None, Some(_), None) if text.is_empty() => {
                return Err(malformed("tag_value", "send it with tag_name"));
            }
            _ => {
                let message = "send it alone, or tag_name and tag_value without it";
                return Err(malformed("tag", message));
            }
        };
        Ok(Some(tag))
    }

    /// Takes a page's place.
    pub(super) fn page(&mut self) -> Result<PageQuery, Problem> {
        let size = self.text("page_size");
        let page_size = match size.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                malformed(
                    "page_size",
                    "use a whole number; 20 is the default and 100 the most",
                )
            })?),
        };
        Ok(PageQuery {
            page_size,
            page_token: Some(self.text("page_token")),
        })
    }

    /// Takes an instant.
    pub(super) fn instant(
        &mut self,
        name: &str,
    ) -> Result<Option<prost_types::Timestamp>, Problem> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        let at = Timestamp::parse_rfc3339(&text);
        let at = at.ok_or_else(|| malformed(name, "use RFC 3339, e.g. 2026-05-13T12:00:00Z"))?;
        Ok(Some(proto::time::to_proto(at)))
    }

    /// Refuses what was not taken.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(malformed(
                name,
                "this list has no such parameter; leave it out",
            )),
        }
    }
}

/// A JSON body as it came, within limits.
#[derive(Debug)]
pub(super) struct Body<const MAX: usize = MAX_BODY_BYTES>(pub(super) Bytes);

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for Body<MAX> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        if let Some(value) = request.headers().get(header::CONTENT_TYPE) {
            let media = value.to_str().unwrap_or_default();
            let media = media
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
            if media != "application/json" && !media.ends_with("+json") {
                let detail = "send JSON with the header content-type: application/json";
                return Err(Problem::new(Reason::MediaTypeUnsupported, detail).into());
            }
        }
        let too_large = || {
            let detail = format!("the body may have {MAX} bytes; send less at once");
            Problem::new(Reason::RequestTooLarge, detail)
        };
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > MAX as u64) {
            return Err(too_large().into());
        }
        let arriving = Limited::new(request.into_body(), MAX).collect();
        let arrived = timeout(PATIENCE, arriving).await.map_err(|_| {
            let detail = format!("the body did not arrive within {PATIENCE:?}; send it faster");
            Problem::new(Reason::RequestMalformed, detail)
        })?;
        match arrived {
            Ok(body) => Ok(Self(body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large().into()),
            Err(_) => {
                let detail = "the body did not arrive whole; send it again";
                Err(Problem::new(Reason::RequestMalformed, detail).into())
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tag(pairs: &[(&str, &str)]) -> Result<Option<(String, String)>, String> {
        let pairs = pairs.iter();
        let mut query = Query(pairs.map(|(k, v)| (k.to_string(), v.to_string())).collect());
        let tag = query
            .tag()
            .map_err(|problem| problem.fields[0].field.clone());
        query.finish().unwrap();
        tag.map(|tag| tag.map(|tag| (tag.name, tag.value)))
    }

    #[test]
    fn a_tag_is_one_parameter_or_two() {
        let pair = |name: &str, value: &str| Ok(Some((name.to_owned(), value.to_owned())));
        assert_eq!(tag(&[]), Ok(None));
        assert_eq!(tag(&[("tag", "a=b=c")]), pair("a", "b=c"));
        assert_eq!(tag(&[("tag", "a=")]), pair("a", ""));
        let two = [("tag_name", "a=b"), ("tag_value", "c")];
        assert_eq!(tag(&two), pair("a=b", "c"));
        assert_eq!(tag(&[("tag_name", "a"), ("tag_value", "")]), pair("a", ""));
        for (wrong, field) in [
            (&[("tag", "a")][..], "tag"),
            (&[("tag", "a=b"), ("tag_name", "a")], "tag"),
            (&[("tag", "a"), ("tag_value", "a")], "tag"),
            (&[("tag_name", "a")], "tag_value"),
            (&[("tag_value", "a")], "tag_name"),
        ] {
            assert_eq!(tag(wrong), Err(field.to_owned()), "{wrong:?}");
        }
    }
}
