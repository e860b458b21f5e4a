//! Coming and going: the operator's key, a customer's link.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use domain::audit::{Origin, Via};
use domain::{AccountId, Reason};
use proto::metadata::Peer;

use super::brand::Brand;
use super::forms::{Form, Segment};
use super::page::{Answer, Frame, Refusal, render, status_of};
use super::visitor::{Reach, Scope, Visitor, cookie};
use crate::core::{Control, Started};

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInPage {
    frame: Frame,
    error: Option<String>,
    /// Somebody comes without a session, or with one that has ended.
    ended: bool,
    /// The page to go on at; empty: the first one.
    to: String,
}

impl SignInPage {
    fn new(brand: Arc<Brand>) -> Self {
        Self {
            frame: Frame::open("Sign in", brand),
            error: None,
            ended: false,
            to: String::new(),
        }
    }

    /// For somebody who asked for this address.
    pub(super) fn after_a_session(asked: &str, brand: Arc<Brand>) -> Self {
        let to = Some(asked).filter(|asked| is_a_sessions(asked));
        Self {
            ended: true,
            to: to.unwrap_or_default().to_owned(),
            ..Self::new(brand)
        }
    }
}

/// Whether a session can go on at this address: it is one of our own pages, and
/// neither a link that opens a session nor another site.
fn is_a_sessions(address: &str) -> bool {
    const PAGES: [&str; 4] = ["/accounts", "/audit-log", "/fleet", "/keys"];
    let goes_on = |rest: &str| rest.is_empty() || rest.starts_with(['/', '?']);
    address.bytes().all(|byte| byte.is_ascii_graphic())
        && PAGES
            .iter()
            .filter_map(|page| address.strip_prefix(page))
            .any(goes_on)
}

pub(super) async fn show(Extension(brand): Extension<Arc<Brand>>) -> Response {
    render(StatusCode::OK, &SignInPage::new(brand))
}

pub(super) async fn sign_in(
    State(control): State<Control>,
    peer: Option<Extension<Peer>>,
    Extension(brand): Extension<Arc<Brand>>,
    form: Form,
) -> Response {
    let origin = Origin {
        via: Via::Dashboard,
        address: peer.map(|Extension(peer)| peer.0),
    };
    match control.sign_in(&form.text("key"), origin).await {
        Ok(started) => {
            let to = Some(form.text("to")).filter(|to| is_a_sessions(to));
            begin(&control, &started, Reach::Window, to)
        }
        Err(problem) => {
            let error = match problem.reason {
                Reason::KeyInvalid => "This key does not exist, was revoked or has expired.".into(),
                _ => problem.detail.clone(),
            };
            let page = SignInPage {
                error: Some(error),
                to: form.text("to"),
                ..SignInPage::new(brand)
            };
            render(status_of(&problem), &page)
        }
    }
}

/// A link from `portal-sessions`.
pub(super) async fn enter(
    State(control): State<Control>,
    Extension(brand): Extension<Arc<Brand>>,
    headers: HeaderMap,
    Segment(link): Segment,
) -> Answer {
    let started = control.enter_portal(&link).await?;
    let reach = Reach::of_portal(&brand, control.public_url(), &headers);
    Ok(begin(&control, &started, reach, None))
}

/// Sets the cookie and goes to a page, unless another is named the first one.
fn begin(control: &Control, started: &Started, reach: Reach, to: Option<String>) -> Response {
    let first = || started.account.as_ref().map_or("/".to_owned(), webhooks);
    let to = to.unwrap_or_else(first);
    let cookie = cookie(&started.token, started.lasts, reach, control.public_url());
    ([(header::SET_COOKIE, cookie)], Redirect::to(&to)).into_response()
}

/// Ends whichever session there is, in a frame or not.
pub(super) async fn sign_out(State(control): State<Control>) -> Response {
    let end = |reach| {
        let cookie = cookie("", Duration::ZERO, reach, control.public_url());
        (header::SET_COOKIE, cookie)
    };
    let ends = AppendHeaders([end(Reach::Window), end(Reach::Frame)]);
    (ends, Redirect::to("/sign-in")).into_response()
}

/// Where a session belongs: its account, or the list of all.
pub(super) async fn home(headers: HeaderMap, visitor: Result<Visitor, Refusal>) -> Answer {
    let session = match visitor {
        Ok(Visitor(session)) => session,
        // Who comes for the first time has nothing to be told.
        Err(_) if !headers.contains_key(header::COOKIE) => {
            return Ok(Redirect::to("/sign-in").into_response());
        }
        Err(refusal) => return Err(refusal),
    };
    let to = session.identity.account.as_ref();
    let to = to.map_or("/accounts".to_owned(), webhooks);
    Ok(Redirect::to(&to).into_response())
}

/// The account itself.
pub(super) async fn account(scope: Scope) -> Redirect {
    Redirect::to(&webhooks(&scope.account))
}

/// The first page of an account.
pub(super) fn webhooks(account: &AccountId) -> String {
    format!("/accounts/{account}/webhooks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_on_at_our_own_pages_only() {
        for ours in [
            "/accounts",
            "/accounts/a/webhooks?page=x",
            "/keys/new",
            "/audit-log?via=rest",
        ] {
            assert!(is_a_sessions(ours), "{ours}");
        }
        for other in [
            "",
            "/",
            "//evil.example/accounts",
            "https://evil.example/accounts",
            "/portal/a-link",
            "/accountsevil",
            "/keys\r\nset-cookie: a=b",
            "/accounts/\u{e9}",
        ] {
            assert!(!is_a_sessions(other), "{other}");
        }
    }
}
