//! Coming and going: the operator's key, a customer's link.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use domain::audit::{Origin, Via};
use domain::{AccountId, Reason};
use proto::metadata::Peer;

use super::brand::Brand;
use super::forms::Form;
use super::page::{Answer, Frame, Refusal, render, status_of};
use super::visitor::{Reach, Visitor, cookie};
use crate::core::{Control, Started};

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInPage {
    frame: Frame,
    error: Option<String>,
    /// Somebody comes without a session, or with one that has ended.
    ended: bool,
}

impl SignInPage {
    fn new(error: Option<String>, ended: bool, brand: Arc<Brand>) -> Self {
        Self {
            frame: Frame::open("Sign in", brand),
            error,
            ended,
        }
    }

    pub(super) fn after_a_session(brand: Arc<Brand>) -> Self {
        Self::new(None, true, brand)
    }
}

pub(super) async fn show(Extension(brand): Extension<Arc<Brand>>) -> Response {
    render(StatusCode::OK, &SignInPage::new(None, false, brand))
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
        Ok(started) => begin(&control, &started, Reach::Window),
        Err(problem) => {
            let error = match problem.reason {
                Reason::KeyInvalid => "This key does not exist, was revoked or has expired.".into(),
                _ => problem.detail.clone(),
            };
            let page = SignInPage::new(Some(error), false, brand);
            render(status_of(&problem), &page)
        }
    }
}

/// A link from `portal-sessions`.
pub(super) async fn enter(
    State(control): State<Control>,
    Extension(brand): Extension<Arc<Brand>>,
    headers: HeaderMap,
    Path(link): Path<String>,
) -> Answer {
    let started = control.enter_portal(&link).await?;
    let reach = Reach::of_portal(&brand, control.public_url(), &headers);
    Ok(begin(&control, &started, reach))
}

fn begin(control: &Control, started: &Started, reach: Reach) -> Response {
    let to = started.account.as_ref().map_or("/".to_owned(), webhooks);
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

/// The first page of an account.
pub(super) fn webhooks(account: &AccountId) -> String {
    format!("/accounts/{account}/webhooks")
}
