//! What a form or an address carries, and what is wrong with it.

use axum::extract::{FromRequest, FromRequestParts, Path, RawForm, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use domain::{FieldViolation, Problem, Reason};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::page::Refusal;

/// What the address asks for behind its question mark.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        read.map(|axum::extract::Query(asked)| Self(asked))
            .map_err(|_| {
                let detail = "the address asks for something twice or not as it should; go back \
                              and choose again";
                Problem::new(Reason::RequestMalformed, detail).into()
            })
    }
}

/// The one part of the path that differs.
#[derive(Debug)]
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path(text)| Self(text)).map_err(|_| {
            let detail = "the address is not UTF-8";
            Problem::new(Reason::RouteNotFound, detail).into()
        })
    }
}

/// A form as it was sent, in its order.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read = RawForm::from_request(request, state).await;
        let RawForm(body) = read.map_err(|refused| refusal(refused.into_response().status()))?;
        Ok(Self(form_urlencoded::parse(&body).into_owned().collect()))
    }
}

/// Why a form could not be read.
fn refusal(status: StatusCode) -> Problem {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the form may have a megabyte; go back and send less";
            Problem::new(Reason::RequestTooLarge, detail)
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let detail = "this is not sent as a form is; use the form on the page";
            Problem::new(Reason::MediaTypeUnsupported, detail)
        }
        _ => {
            let detail = "the form did not arrive whole; go back and send it again";
            Problem::new(Reason::RequestMalformed, detail)
        }
    }
}

impl Form {
    /// A field without the space around it, empty if it is absent.
    pub(super) fn text(&self, name: &str) -> String {
        self.raw(name).trim().to_owned()
    }

    /// A field as it was sent, empty if it is absent.
    pub(super) fn raw(&self, name: &str) -> String {
        let pair = self.0.iter().find(|(key, _)| key == name);
        pair.map_or_else(String::new, |(_, value)| value.clone())
    }

    /// Every value of a field, e.g. of checkboxes.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let pairs = self.0.iter().filter(|(key, _)| key == name);
        pairs.map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

/// What is wrong with a form; each complaint stands next to its field.
#[derive(Debug, Default)]
pub(super) struct Errors {
    fields: Vec<FieldViolation>,
    /// What belongs to no field.
    whole: Option<String>,
}

impl Errors {
    pub(super) fn add(&mut self, field: &str, message: &str) {
        self.fields.push(FieldViolation {
            field: field.to_owned(),
            message: message.to_owned(),
        });
    }

    pub(super) fn of_the_whole(message: &str) -> Self {
        Self {
            fields: Vec::new(),
            whole: Some(message.to_owned()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.whole.is_none()
    }

    /// The first complaint about a field or a part of it.
    pub(super) fn of(&self, field: &str) -> Option<&str> {
        let about = |name: &str| {
            name.strip_prefix(field)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
        };
        let found = self.fields.iter().find(|one| about(&one.field));
        found.map(|violation| violation.message.as_str())
    }

    pub(super) fn whole(&self) -> Option<&str> {
        self.whole.as_deref()
    }
}

impl From<Problem> for Errors {
    fn from(problem: Problem) -> Self {
        let whole = problem.fields.is_empty().then_some(problem.detail);
        Self {
            fields: problem.fields,
            whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_stands_at_its_field_and_no_other() {
        let mut errors = Errors::default();
        errors.add("event_types[1]", "is not registered");
        assert_eq!(errors.of("event_types"), Some("is not registered"));
        assert_eq!(errors.of("event"), None);
    }
}
