//! The dashboard: pages that the server renders and forms that work without
//! script. Every dialog has an address of its own. It reads and changes
//! through the same core and services as REST.

mod assets;
mod editor;
mod endpoint_form;
mod endpoints;
mod forms;
mod guard;
mod history;
mod page;
mod payload;
mod plain;
mod sign_in;
mod test_event;
mod visitor;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::core::Control;

/// A form carries a test event's object at most.
const MAX_FORM_BYTES: usize = 1_024 * 1_024;

/// Every page, beside `/v1`.
pub(crate) fn router(control: Control) -> Router {
    let account = Router::new()
        .route("/webhooks", get(endpoints::list))
        .route("/webhooks/new", get(endpoints::new).post(endpoints::create))
        .route("/webhooks/{id}", get(editor::show).post(editor::save))
        .route(
            "/webhooks/{id}/regenerate-secret",
            get(editor::ask_regenerate).post(editor::regenerate),
        )
        .route(
            "/webhooks/{id}/delete",
            get(editor::ask_delete).post(editor::delete),
        )
        .route("/webhooks/{id}/enable", post(editor::enable))
        .route("/webhooks/{id}/disable", post(editor::disable))
        .route(
            "/webhooks/{id}/test",
            get(test_event::show).post(test_event::send),
        )
        .route("/webhooks/{id}/messages", get(history::show))
        .route("/attempts/{id}", get(payload::show))
        .route("/attempts/{id}/resend", post(payload::resend));
    Router::new()
        .route("/", get(sign_in::home))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/accounts", get(sign_in::open_account))
        .route("/portal/{link}", get(sign_in::enter))
        .nest("/accounts/{account}", account)
        .route_layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .route_layer(from_fn(guard::private))
        .route("/assets/{name}", get(assets::serve))
        .route_layer(from_fn_with_state(control.clone(), guard::same_origin))
        .route_layer(from_fn(guard::strict))
        .with_state(control)
}
