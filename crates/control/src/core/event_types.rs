//! The catalogue of event types.

use bytes::Bytes;
use domain::audit::Action;
use domain::key::{Identity, Need};
use domain::page::{PageToken, page_size};
use domain::{EventType, JsonObject, Problem, Reason, Timestamp};
use store::{EventTypeRow, Mark};
use uuid::Uuid;

use super::{Control, Page, database, now};

const CONTEXT: &str = "event-types";

/// An event type to be. Schema and example are JSON text.
#[derive(Debug)]
pub(crate) struct NewEventType {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) schema: String,
    pub(crate) example: String,
}

/// A registered event type. Schema and example are JSON text.
#[derive(Debug)]
pub(crate) struct EventTypeView {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) schema: String,
    pub(crate) example: String,
    /// Only Postrider itself publishes it.
    pub(crate) operational: bool,
    pub(crate) created_at: Timestamp,
}

impl From<EventTypeRow> for EventTypeView {
    fn from(row: EventTypeRow) -> Self {
        Self {
            operational: row.name.is_reserved(),
            name: row.name.to_string(),
            description: row.description,
            schema: row.schema,
            example: row.example,
            created_at: row.created_at,
        }
    }
}

impl Control {
    /// Any key may read the catalogue.
    pub(crate) async fn list_event_types(
        &self,
        size: Option<u32>,
        token: &str,
    ) -> Result<Page<EventTypeView>, Problem> {
        let cursor = PageToken::decode_or_first(token, CONTEXT)?;
        let size = page_size(size);
        let found = self
            .0
            .deps
            .registry
            .event_types(cursor.as_ref(), size + 1)
            .await;
        let found = found.map_err(|error| database(&error))?;
        let place = |row: &EventTypeRow| (row.created_at.unix_millis(), row.id);
        Ok(Page::assemble(found, size, cursor.as_ref(), CONTEXT, place).map(Into::into))
    }

    pub(crate) async fn create_event_type(
        &self,
        identity: &Identity,
        new: NewEventType,
    ) -> Result<EventTypeView, Problem> {
        identity.authorise_everywhere(Need::Admin)?;
        let row = check(new)?;
        let mark = Mark::EventType(row.name.clone());
        self.check_broker(&mark).await?;
        let (action, target) = (Action::EventTypeCreated, row.name.to_string());
        let registry = self.noting(identity, None, action, &target, "");
        match registry.create_event_type(&row).await {
            Ok(()) => {}
            Err(store::Error::Exists) => {
                return Err(Problem::of_field(
                    Reason::EventTypeExists,
                    "name",
                    "an event type has this name; choose another",
                ));
            }
            Err(error) => return Err(database(&error)),
        }
        self.announce(&mark).await?;
        Ok(row.into())
    }
}

fn check(new: NewEventType) -> Result<EventTypeRow, Problem> {
    let name = EventType::parse_field("name", &new.name)?;
    name.refuse_reserved("name")?;
    domain::endpoint::check_description(&new.description)
        .map_err(|violation| violation.into_problem(Reason::FieldInvalid))?;
    for (field, text) in [("schema", &new.schema), ("example", &new.example)] {
        JsonObject::parse(Bytes::copy_from_slice(text.as_bytes())).map_err(|problem| {
            Problem::of_field(Reason::FieldInvalid, field, strip_field(&problem.detail))
        })?;
    }
    Ok(EventTypeRow {
        id: Uuid::now_v7(),
        name,
        description: new.description,
        schema: new.schema,
        example: new.example,
        created_at: now(),
    })
}

fn strip_field(detail: &str) -> &str {
    detail.strip_prefix("object: ").unwrap_or(detail)
}
