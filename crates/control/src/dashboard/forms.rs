//! What a form carries, and what is wrong with it.

use axum::extract::{FromRequest, RawForm, Request};
use axum::response::{IntoResponse as _, Response};
use domain::{FieldViolation, Problem};
use url::form_urlencoded;

/// A form as it was sent, in its order.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let RawForm(body) = RawForm::from_request(request, state)
            .await
            .map_err(|refused| refused.into_response())?;
        Ok(Self(form_urlencoded::parse(&body).into_owned().collect()))
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
