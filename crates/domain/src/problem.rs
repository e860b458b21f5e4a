//! One table of what can be wrong with a call, for gRPC and REST.

use std::fmt;
use std::time::Duration;

macro_rules! reasons {
    ($($variant:ident $code:literal $status:literal $title:literal;)+) => {
        /// Why a call was refused. The code is stable; the text is for people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $(#[doc = $title] $variant,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name: `code` in REST, `ErrorInfo.reason` in gRPC.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The HTTP status.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// A short summary that does not change from call to call.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

reasons! {
    JsonMalformed "JSON_MALFORMED" 400 "The body is not valid JSON";
    RequestMalformed "REQUEST_MALFORMED" 400 "The request is malformed";
    AccountInvalid "ACCOUNT_INVALID" 400 "The account id is malformed";
    IdMalformed "ID_MALFORMED" 400 "An id is malformed";
    PageTokenInvalid "PAGE_TOKEN_INVALID" 400 "The page token is not valid here";
    KeyInvalid "KEY_INVALID" 401 "A valid key is needed";
    ScopeInsufficient "SCOPE_INSUFFICIENT" 403 "The key's scope does not allow this";
    AccountNotFound "ACCOUNT_NOT_FOUND" 404 "There is no such account for this key";
    EndpointNotFound "ENDPOINT_NOT_FOUND" 404 "There is no such endpoint";
    EventNotFound "EVENT_NOT_FOUND" 404 "There is no such event";
    DeliveryNotFound "DELIVERY_NOT_FOUND" 404 "There is no such delivery";
    AttemptNotFound "ATTEMPT_NOT_FOUND" 404 "There is no such attempt";
    ReplayNotFound "REPLAY_NOT_FOUND" 404 "There is no such replay";
    ErasureNotFound "ERASURE_NOT_FOUND" 404 "There is no such erasure";
    KeyNotFound "KEY_NOT_FOUND" 404 "There is no such key";
    RouteNotFound "ROUTE_NOT_FOUND" 404 "There is nothing at this address";
    MethodNotAllowed "METHOD_NOT_ALLOWED" 405 "The method is not allowed here";
    IdempotencyConflict "IDEMPOTENCY_CONFLICT" 409 "The id was used with another payload";
    EndpointDisabled "ENDPOINT_DISABLED" 409 "The endpoint is disabled";
    EndpointUnverified "ENDPOINT_UNVERIFIED" 409 "The endpoint is not verified yet";
    EventTypeExists "EVENT_TYPE_EXISTS" 409 "The event type exists";
    BodyExpired "BODY_EXPIRED" 409 "The event's body is no longer kept";
    QuotaExceeded "QUOTA_EXCEEDED" 409 "The account's quota is used up";
    Conflict "CONFLICT" 409 "Something else changed it meanwhile";
    ObjectTooLarge "OBJECT_TOO_LARGE" 413 "The object is too large";
    RequestTooLarge "REQUEST_TOO_LARGE" 413 "The request is too large";
    MediaTypeUnsupported "MEDIA_TYPE_UNSUPPORTED" 415 "The content type is not supported";
    FieldInvalid "FIELD_INVALID" 422 "A field is not acceptable";
    EventTypeInvalid "EVENT_TYPE_INVALID" 422 "The event type's name is malformed";
    EventTypeUnknown "EVENT_TYPE_UNKNOWN" 422 "The event type is not registered";
    ObjectInvalid "OBJECT_INVALID" 422 "The object is not acceptable";
    UrlInvalid "URL_INVALID" 422 "The URL is not acceptable";
    RateLimited "RATE_LIMITED" 429 "Too many calls";
    Internal "INTERNAL" 500 "Something went wrong inside";
    BrokerUnavailable "BROKER_UNAVAILABLE" 503 "The broker cannot take it now";
    DatabaseUnavailable "DATABASE_UNAVAILABLE" 503 "The database cannot take it now";
    HistoryUnavailable "HISTORY_UNAVAILABLE" 503 "The history cannot answer now";
    IngestUnavailable "INGEST_UNAVAILABLE" 503 "Publishing cannot be reached now";
}

impl Reason {
    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
    }
}

/// A field and what is wrong with it, with what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    pub field: String,
    pub message: String,
}

impl FieldViolation {
    /// `message` about `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }

    /// The problem that is made of this violation alone.
    #[must_use]
    pub fn into_problem(self, reason: Reason) -> Problem {
        Problem::new(reason, format!("{}: {}", self.field, self.message))
            .field(self.field, self.message)
    }
}

/// A refusal: what is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub reason: Reason,
    /// What is wrong with this call and what to do, for people.
    pub detail: String,
    pub fields: Vec<FieldViolation>,
    /// Wait this long before a repeat.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// A problem without fields.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after: None,
        }
    }

    /// One field is at fault: `detail` repeats its message.
    pub fn of_field(reason: Reason, field: impl Into<String>, message: impl Into<String>) -> Self {
        FieldViolation::new(field, message).into_problem(reason)
    }

    /// The same with one more field at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.fields.push(FieldViolation::new(field, message));
        self
    }

    /// What is wrong, without the name of the field that is at fault: for whoever
    /// asks for it under another name.
    #[must_use]
    pub fn message(&self) -> &str {
        let field = self.fields.first();
        field.map_or(&self.detail, |field| &field.message)
    }

    /// The same with advice on when to repeat.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.code(), self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_stands_for_one_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert!((400..600).contains(&reason.http_status()));
        }
        assert_eq!(Reason::from_code("NO_SUCH_CODE"), None);
    }
}
