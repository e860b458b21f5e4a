//! "API keys": who may call the API. A key is shown once, when it is made.

use std::time::{Duration, SystemTime};

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use domain::Timestamp;
use domain::key::Need;
use serde::Deserialize;

use crate::core::{Control, KeyView, NewKey, Page};
use crate::dashboard::forms::{Errors, Form, Query, Segment};
use crate::dashboard::page::{Answer, Frame, render, status_of};
use crate::dashboard::plain::shown;
use crate::dashboard::visitor::Operator;

const DAY: Duration = Duration::from_secs(86_400);

/// A key to be, as it was typed.
#[derive(Default)]
struct KeyForm {
    description: String,
    scope: String,
    account: String,
    expires_in_days: String,
    errors: Errors,
}

enum Dialog {
    Create(KeyForm),
    /// What is shown once.
    Made(String),
    Revoke {
        id: String,
        description: String,
    },
}

struct Row {
    id: String,
    description: String,
    scope: &'static str,
    account: Option<String>,
    created_at: String,
    /// Empty: never.
    expires_at: String,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    rows: Vec<Row>,
    next: String,
    previous: String,
    dialog: Option<Dialog>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct Place {
    page: String,
}

pub(in crate::dashboard) async fn list(
    State(control): State<Control>,
    operator: Operator,
    Query(place): Query<Place>,
) -> Answer {
    show(&control, operator, StatusCode::OK, &place.page, None).await
}

pub(in crate::dashboard) async fn new(
    State(control): State<Control>,
    operator: Operator,
) -> Answer {
    let dialog = Dialog::Create(KeyForm {
        scope: "publish".to_owned(),
        ..KeyForm::default()
    });
    show(&control, operator, StatusCode::OK, "", Some(dialog)).await
}

pub(in crate::dashboard) async fn create(
    State(control): State<Control>,
    operator: Operator,
    form: Form,
) -> Answer {
    let mut form = KeyForm {
        description: form.text("description"),
        scope: form.text("scope"),
        account: form.text("account"),
        expires_in_days: form.text("expires_in_days"),
        errors: Errors::default(),
    };
    let new = NewKey {
        description: form.description.clone(),
        scope: form.scope.clone(),
        account: (!form.account.is_empty()).then(|| form.account.clone()),
        expires_at: form.expires_at(),
    };
    let (status, dialog) = match form.errors.is_empty() {
        false => (StatusCode::UNPROCESSABLE_ENTITY, Dialog::Create(form)),
        true => match control.create_key(&operator.identity, new).await {
            Ok(made) => (StatusCode::OK, Dialog::Made(made.key)),
            Err(problem) => {
                let status = status_of(&problem);
                form.errors = problem.into();
                (status, Dialog::Create(form))
            }
        },
    };
    show(&control, operator, status, "", Some(dialog)).await
}

pub(in crate::dashboard) async fn ask_revoke(
    State(control): State<Control>,
    operator: Operator,
    Segment(id): Segment,
) -> Answer {
    let key = control.key(&operator.identity, &id).await?;
    let description = key.description;
    let dialog = Some(Dialog::Revoke { id, description });
    show(&control, operator, StatusCode::OK, "", dialog).await
}

pub(in crate::dashboard) async fn revoke(
    State(control): State<Control>,
    operator: Operator,
    Segment(id): Segment,
) -> Answer {
    control.delete_key(&operator.identity, &id).await?;
    Ok(Redirect::to("/keys").into_response())
}

async fn show(
    control: &Control,
    operator: Operator,
    status: StatusCode,
    place: &str,
    dialog: Option<Dialog>,
) -> Answer {
    operator.identity.authorise_everywhere(Need::Admin)?;
    let listed = control.list_keys(&operator.identity, None, place).await?;
    let Page {
        items,
        next_page_token,
        prev_page_token,
    } = listed;
    let page = KeysPage {
        frame: Frame::operators("API keys", "keys", operator.brand),
        rows: items.into_iter().map(Row::from).collect(),
        next: next_page_token,
        previous: prev_page_token,
        dialog,
    };
    Ok(render(status, &page))
}

impl From<KeyView> for Row {
    fn from(view: KeyView) -> Self {
        Self {
            id: view.id,
            description: view.description,
            scope: view.scope,
            account: view.account,
            created_at: shown(view.created_at),
            expires_at: view.expires_at.map_or_else(String::new, shown),
        }
    }
}

impl KeyForm {
    /// Blank is never.
    fn expires_at(&mut self) -> Option<Timestamp> {
        if self.expires_in_days.is_empty() {
            return None;
        }
        match self.expires_in_days.parse() {
            Ok(days @ 1..=36_500) => Some(Timestamp::from(SystemTime::now()).plus(DAY * days)),
            _ => {
                let message = "use a whole number of days, 1 to 36500, or leave it blank";
                self.errors.add("expires_in_days", message);
                None
            }
        }
    }
}
