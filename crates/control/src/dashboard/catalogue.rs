//! The event catalogue: what each type means, and what it looks like.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;

use super::endpoint_form::catalogue;
use super::page::{Answer, Frame, render};
use super::plain::{inert, pretty};
use super::visitor::Scope;
use crate::core::{Control, EventTypeView};

struct Entry {
    name: String,
    description: String,
    operational: bool,
    schema: String,
    example: String,
}

impl From<EventTypeView> for Entry {
    fn from(view: EventTypeView) -> Self {
        Self {
            schema: inert(&pretty(&view.schema)),
            example: inert(&pretty(&view.example)),
            name: view.name,
            description: view.description,
            operational: view.operational,
        }
    }
}

#[derive(Template)]
#[template(path = "catalogue.html")]
struct CataloguePage {
    frame: Frame,
    /// Operational ones last.
    entries: Vec<Entry>,
}

pub(super) async fn show(State(control): State<Control>, scope: Scope) -> Answer {
    let all = catalogue(&control).await?;
    let mut entries: Vec<Entry> = all.into_iter().map(Into::into).collect();
    entries.sort_by_key(|entry| entry.operational);
    let page = CataloguePage {
        frame: Frame {
            section: "event-types",
            ..Frame::of("Event catalogue", &scope)
        },
        entries,
    };
    Ok(render(StatusCode::OK, &page))
}
