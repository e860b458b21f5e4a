//! "Resend": an event goes to an endpoint once more, or the page that it was asked on
//! says why not.

use axum::http::StatusCode;
use domain::audit::Action;
use domain::key::Need;
use domain::{Problem, Reason};
use proto::status::to_problem;
use proto::v1::ResendEventRequest;

use super::page::{status_of, words};
use super::visitor::Scope;
use crate::core::Control;

/// Why it was not sent again, for the page where it was asked.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// A sentence without its full stop.
    pub(super) why: String,
}

/// Sends an event of the visitor's account again; `Some`: it was refused.
///
/// # Errors
///
/// What the page cannot explain: the visitor may not, or nobody answers.
pub(super) async fn send(
    control: &Control,
    scope: &Scope,
    event_id: String,
    endpoint_id: String,
) -> Result<Option<Refused>, Problem> {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let request = ResendEventRequest {
        account: scope.account.to_string(),
        event_id,
        endpoint_id,
    };
    match control.history().resend_event(request).await {
        Ok(resent) => {
            let delivery = resent.into_inner().delivery_id;
            scope.note(control, Action::EventResent, &delivery).await;
            Ok(None)
        }
        Err(status) => {
            let problem = to_problem(&status, Reason::HistoryUnavailable);
            match status_of(&problem) {
                status if status.is_server_error() => Err(problem),
                status => Ok(Some(Refused {
                    status,
                    why: why(&problem),
                })),
            }
        }
    }
}

fn why(problem: &Problem) -> String {
    let of_field = problem.fields.first().map(|field| field.message.clone());
    let why = of_field.unwrap_or_else(|| words(problem));
    why.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_sentence_without_names_of_fields_or_a_full_stop() {
        let disabled = Problem::new(Reason::EndpointDisabled, "the endpoint is disabled");
        assert_eq!(why(&disabled), "the endpoint is disabled");
        let of_another = Problem::of_field(Reason::FieldInvalid, "endpoint_id", "this is a test");
        assert_eq!(why(&of_another), "this is a test");
        let deleted = Problem::new(Reason::EndpointNotFound, "GET its list of endpoints");
        assert_eq!(
            why(&deleted),
            "It was deleted, or belongs to another account"
        );
    }
}
