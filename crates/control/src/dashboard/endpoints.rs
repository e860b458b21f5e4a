//! "Webhook Settings", and the dialog that creates an endpoint.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use domain::key::Need;
use serde::Deserialize;

use super::activity::{Chart, charts};
use super::endpoint_form::{EndpointForm, catalogue};
use super::forms::{Errors, Form, Query};
use super::page::{Answer, Frame, render, status_of};
use super::visitor::Scope;
use crate::core::{Control, EndpointView, Page};

#[derive(Debug, Default, Deserialize)]
pub(super) struct Place {
    #[serde(default)]
    page: String,
}

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage {
    frame: Frame,
    /// `/accounts/…/webhooks`
    base: String,
    page: Page<EndpointView>,
    /// By endpoint id; one may be missing.
    charts: HashMap<String, Chart>,
    /// The dialog, if it is open.
    dialog: Option<EndpointForm>,
}

pub(super) async fn list(
    State(control): State<Control>,
    scope: Scope,
    Query(place): Query<Place>,
) -> Answer {
    show(&control, &scope, &place.page, StatusCode::OK, None).await
}

pub(super) async fn new(State(control): State<Control>, scope: Scope) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let form = EndpointForm::empty(catalogue(&control).await?);
    show(&control, &scope, "", StatusCode::OK, Some(form)).await
}

pub(super) async fn create(State(control): State<Control>, scope: Scope, form: Form) -> Answer {
    scope.identity.authorise(&scope.account, Need::Admin)?;
    let mut form = EndpointForm::sent(&form, catalogue(&control).await?);
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if let Some(new) = form.new_endpoint() {
        let made = control.create_endpoint(&scope.identity, &scope.account, new);
        match made.await {
            Ok(_) => return Ok(Redirect::to(&base(&scope)).into_response()),
            Err(problem) => {
                status = status_of(&problem);
                form.errors = Errors::from(problem);
            }
        }
    }
    show(&control, &scope, "", status, Some(form)).await
}

async fn show(
    control: &Control,
    scope: &Scope,
    place: &str,
    status: StatusCode,
    dialog: Option<EndpointForm>,
) -> Answer {
    let listed = control.list_endpoints(&scope.identity, &scope.account, None, place);
    let listed = listed.await?;
    let page = WebhooksPage {
        frame: Frame::of("Webhook Settings", scope),
        base: base(scope),
        charts: charts(control, &scope.account, &listed.items).await,
        page: listed,
        dialog,
    };
    Ok(render(status, &page))
}

/// Where the account's endpoints are.
pub(super) fn base(scope: &Scope) -> String {
    format!("/accounts/{}/webhooks", scope.account)
}
