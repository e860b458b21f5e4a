//! The dashboard: pages that the server renders and forms that work without
//! script. Every dialog has an address of its own. It reads and changes
//! through the same core and services as REST.

mod activity;
mod assets;
mod audit;
mod brand;
mod catalogue;
mod editor;
mod endpoint_form;
mod endpoints;
mod event;
mod forms;
mod guard;
mod history;
mod live;
mod operator;
mod page;
mod payload;
mod plain;
mod recover;
mod resend;
mod search;
mod sign_in;
mod test_event;
mod verify;
mod visitor;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use axum::{Extension, Router};

use crate::core::Control;
use brand::Brand;
pub use brand::{Accent, Branding, Logo, ParseAccentError};
use operator::{accounts, fleet, keys};

/// A form carries a test event's object at most.
const MAX_FORM_BYTES: usize = 1_024 * 1_024;

/// Every page, beside `/v1`.
pub(crate) fn router(control: Control, branding: Branding) -> Router {
    Router::new()
        .route("/", get(sign_in::home))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/portal/{link}", get(sign_in::enter))
        .merge(operators())
        .nest("/accounts/{account}", an_accounts())
        .method_not_allowed_fallback(page::not_this_way)
        .route_layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .route_layer(from_fn(guard::private))
        .route("/assets/{name}", get(assets::serve))
        .route_layer(from_fn_with_state(control.clone(), guard::same_origin))
        .route_layer(from_fn(page::explain))
        .route_layer(from_fn(guard::strict))
        .route_layer(Extension(Arc::new(Brand::new(branding))))
        .with_state(control)
}

fn operators() -> Router<Control> {
    Router::new()
        .route("/accounts", get(accounts::show))
        .route("/fleet", get(fleet::show))
        .route("/audit-log", get(audit::everywhere))
        .route("/keys", get(keys::list))
        .route("/keys/new", get(keys::new).post(keys::create))
        .route(
            "/keys/{id}/revoke",
            get(keys::ask_revoke).post(keys::revoke),
        )
}

/// What a customer sees, and the operator in a customer's place.
fn an_accounts() -> Router<Control> {
    Router::new()
        .route("/", get(sign_in::account))
        .route("/{*rest}", any(page::nothing_here))
        .route("/search", get(search::find))
        .route("/event-types", get(catalogue::show))
        .route("/audit-log", get(audit::of_account))
        .route("/events/{id}", get(event::show))
        .route("/events/{id}/resend", post(event::resend))
        .route("/attempts/{id}", get(payload::show))
        .route("/attempts/{id}/resend", post(payload::resend))
        .route("/recoveries/{id}", get(recover::progress))
        .route("/recoveries/{id}/cancel", post(recover::cancel))
        .nest("/webhooks", webhooks())
}

fn webhooks() -> Router<Control> {
    Router::new()
        .route("/", get(endpoints::list))
        .route("/new", get(endpoints::new).post(endpoints::create))
        .route("/{id}", get(editor::show).post(editor::save))
        .route(
            "/{id}/regenerate-secret",
            get(editor::ask_regenerate).post(editor::regenerate),
        )
        .route("/{id}/delete", get(editor::ask_delete).post(editor::delete))
        .route("/{id}/challenge", post(editor::challenge))
        .route("/{id}/enable", post(editor::enable))
        .route("/{id}/disable", post(editor::disable))
        .route("/{id}/test", get(test_event::show).post(test_event::send))
        .route("/{id}/verify", get(verify::show).post(verify::check))
        .route("/{id}/messages", get(history::show))
        .route("/{id}/messages/live", get(live::rows))
        .route("/{id}/recover", get(recover::ask).post(recover::begin))
}
