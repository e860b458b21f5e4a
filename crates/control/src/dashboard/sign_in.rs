//! Coming and going: the operator's key, a customer's link.

use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::audit::{Origin, Via};
use domain::{AccountId, Reason};
use proto::metadata::Peer;
use serde::Deserialize;

use super::forms::Form;
use super::page::{Answer, Frame, Refusal, render, status_of};
use super::visitor::{Visitor, cookie};
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
    fn new(error: Option<String>, ended: bool) -> Self {
        Self {
            frame: Frame::open("Sign in"),
            error,
            ended,
        }
    }

    pub(super) fn after_a_session() -> Self {
        Self::new(None, true)
    }
}

pub(super) async fn show() -> Response {
    render(StatusCode::OK, &SignInPage::new(None, false))
}

pub(super) async fn sign_in(
    State(control): State<Control>,
    peer: Option<Extension<Peer>>,
    form: Form,
) -> Response {
    let origin = Origin {
        via: Via::Dashboard,
        address: peer.map(|Extension(peer)| peer.0),
    };
    match control.sign_in(&form.text("key"), origin).await {
        Ok(started) => begin(&control, &started),
        Err(problem) => {
            let error = match problem.reason {
                Reason::KeyInvalid => "This key does not exist, was revoked or has expired.".into(),
                _ => problem.detail.clone(),
            };
            let page = SignInPage::new(Some(error), false);
            render(status_of(&problem), &page)
        }
    }
}

/// A link from `portal-sessions`.
pub(super) async fn enter(State(control): State<Control>, Path(link): Path<String>) -> Answer {
    let started = control.enter_portal(&link).await?;
    Ok(begin(&control, &started))
}

fn begin(control: &Control, started: &Started) -> Response {
    let to = started.account.as_ref().map_or("/".to_owned(), webhooks);
    let cookie = cookie(&started.token, started.lasts, control.public_url());
    ([(header::SET_COOKIE, cookie)], Redirect::to(&to)).into_response()
}

pub(super) async fn sign_out(State(control): State<Control>) -> Response {
    let cookie = cookie("", Duration::ZERO, control.public_url());
    ([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response()
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    typed: String,
    error: Option<String>,
}

impl HomePage {
    fn new(typed: String, error: Option<String>) -> Self {
        let frame = Frame {
            signed_in: true,
            operator: true,
            ..Frame::open("Accounts")
        };
        Self {
            frame,
            typed,
            error,
        }
    }
}

/// Where a session belongs: its account, or the choice of one.
pub(super) async fn home(headers: HeaderMap, visitor: Result<Visitor, Refusal>) -> Answer {
    let session = match visitor {
        Ok(Visitor(session)) => session,
        // Who comes for the first time has nothing to be told.
        Err(_) if !headers.contains_key(header::COOKIE) => {
            return Ok(Redirect::to("/sign-in").into_response());
        }
        Err(refusal) => return Err(refusal),
    };
    Ok(match session.identity.account {
        Some(account) => Redirect::to(&webhooks(&account)).into_response(),
        None => render(StatusCode::OK, &HomePage::new(String::new(), None)),
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct Chosen {
    #[serde(default)]
    account: String,
}

/// Goes to the account that was typed.
pub(super) async fn open_account(
    Visitor(session): Visitor,
    Query(Chosen { account }): Query<Chosen>,
) -> Answer {
    match AccountId::parse(account.trim()) {
        Ok(account) => {
            session
                .identity
                .authorise(&account, domain::key::Need::Read)?;
            Ok(Redirect::to(&webhooks(&account)).into_response())
        }
        Err(problem) => {
            let page = HomePage::new(account, Some(problem.detail));
            Ok(render(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

fn webhooks(account: &AccountId) -> String {
    format!("/accounts/{account}/webhooks")
}
