//! "Accounts": all that have endpoints, and a way to any other.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use domain::AccountId;
use domain::key::Need;
use serde::Deserialize;
use store::AccountRow;

use crate::core::Control;
use crate::dashboard::forms::Query;
use crate::dashboard::page::{Answer, Frame, Refusal, render};
use crate::dashboard::sign_in::webhooks;
use crate::dashboard::visitor::{Operator, Visitor};

const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "accounts.html")]
struct AccountsPage {
    frame: Frame,
    accounts: Vec<AccountRow>,
    /// The last name of this page, if there are more.
    next: Option<String>,
    first: bool,
    typed: String,
    error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct Asked {
    /// To open.
    account: String,
    /// Names behind this one.
    after: String,
}

/// Lists accounts, or goes to the one that was typed. A session of one account
/// may only be asked for its own.
pub(in crate::dashboard) async fn show(
    State(control): State<Control>,
    visitor: Visitor,
    operator: Result<Operator, Refusal>,
    Query(asked): Query<Asked>,
) -> Answer {
    let mut error = None;
    if !asked.account.is_empty() {
        match AccountId::parse(asked.account.trim()) {
            Ok(account) => {
                visitor.0.identity.authorise(&account, Need::Read)?;
                return Ok(Redirect::to(&webhooks(&account)).into_response());
            }
            Err(problem) => error = Some(problem.detail),
        }
    }
    let operator = operator?;
    let after = &asked.after;
    let mut accounts = control
        .accounts(&operator.identity, after, PAGE + 1)
        .await?;
    let more = accounts.len() > PAGE as usize;
    accounts.truncate(PAGE as usize);
    let last = accounts.last().filter(|_| more);
    let status = match error {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let page = AccountsPage {
        frame: Frame::operators("Accounts", "accounts", operator.brand),
        next: last.map(|row| row.account.clone()),
        first: after.is_empty(),
        accounts,
        typed: asked.account,
        error,
    };
    Ok(render(status, &page))
}
