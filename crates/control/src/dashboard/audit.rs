//! "Audit log": who changed what, when and from where, with filters that live in
//! the address. A customer sees what was done in the own account, and of the
//! operator no more than that it was the operator.

use std::time::{Duration, SystemTime};

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use domain::audit::{Action, Entry, Origin, Via};
use domain::key::Identity;
use domain::{AccountId, DeliveryId, EndpointId, EventId, Problem, ReplayId, Timestamp};
use serde::Deserialize;
use store::AuditFilter;
use url::form_urlencoded;

use super::forms::Query;
use super::page::{Answer, Frame, render};
use super::plain::{inert, shown};
use super::visitor::{Operator, Scope};
use crate::core::{Control, audit_word as word};

const PAGE_SIZE: u32 = 50;

/// The time ranges offered: a word of the address, its name, its seconds.
const RANGES: [(&str, &str, u64); 4] = [
    ("24h", "Last 24 hours", 86_400),
    ("7d", "Last 7 days", 7 * 86_400),
    ("30d", "Last 30 days", 30 * 86_400),
    ("365d", "Last 365 days", 365 * 86_400),
];

/// What the address asks for; what is empty matches any.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    via: String,
    /// A key's id.
    key: String,
    action: String,
    target: String,
    range: String,
    page: String,
}

impl Asked {
    fn is_set(&self) -> bool {
        !self.to_page("").is_empty()
    }

    /// The address of another page under the same filter.
    fn to_page(&self, token: &str) -> String {
        let fields = [
            ("via", self.via.as_str()),
            ("key", &self.key),
            ("action", &self.action),
            ("target", &self.target),
            ("range", &self.range),
            ("page", token),
        ];
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()));
        query.finish()
    }

    fn filter(&self, account: Option<AccountId>) -> Result<AuditFilter, Problem> {
        let range = RANGES.iter().find(|(word, ..)| *word == self.range);
        let now = Timestamp::from(SystemTime::now());
        Ok(AuditFilter {
            account,
            key_id: self.key.trim().to_owned(),
            via: word("via", &self.via, Via::ALL, Via::as_str)?,
            action: word("action", &self.action, Action::ALL, Action::as_str)?,
            target: self.target.trim().to_owned(),
            after: range.map(|(.., seconds)| now.minus(Duration::from_secs(*seconds))),
            before: None,
        })
    }
}

struct Row {
    at: String,
    what: &'static str,
    detail: String,
    target: String,
    /// Where the target is to be seen.
    link: Option<String>,
    door: &'static str,
    /// Empty: Postrider itself, or not this visitor's to know.
    key_id: String,
    address: String,
    account: Option<String>,
}

impl Row {
    fn new(entry: Entry, tells_callers: bool) -> Self {
        let Origin { via, address } = entry.origin;
        let address = address.filter(|_| tells_callers || via == Via::Portal);
        let is_key = matches!(entry.action, Action::KeyCreated | Action::KeyRevoked);
        Self {
            at: shown(entry.at),
            what: what(entry.action),
            link: entry
                .account
                .as_ref()
                .and_then(|account| link(account, entry.action, &entry.target)),
            detail: inert(&entry.detail),
            target: match is_key && !tells_callers {
                true => String::new(),
                false => inert(&entry.target),
            },
            door: door(via, tells_callers),
            key_id: match tells_callers {
                true => entry.key_id,
                false => String::new(),
            },
            address: address.map_or_else(String::new, |address| address.to_string()),
            account: entry.account.map(|account| account.to_string()),
        }
    }
}

/// The page of what something was done to; what was deleted has none.
fn link(account: &AccountId, action: Action, target: &str) -> Option<String> {
    if action == Action::EndpointDeleted {
        return None;
    }
    let path = if target.parse::<EndpointId>().is_ok() {
        format!("webhooks/{target}")
    } else if target.parse::<EventId>().is_ok() {
        format!("events/{target}")
    } else if target.parse::<DeliveryId>().is_ok() {
        format!("search?q={target}")
    } else if target.parse::<ReplayId>().is_ok() {
        format!("recoveries/{target}")
    } else {
        return None;
    };
    Some(format!("/accounts/{account}/{path}"))
}

/// What a door is called; a customer's own is the one they stand in.
const fn door(via: Via, is_operators: bool) -> &'static str {
    match via {
        Via::Rest => "REST API",
        Via::Grpc => "gRPC API",
        Via::Dashboard => "Operator's dashboard",
        Via::Portal if is_operators => "Customer's dashboard",
        Via::Portal => "This dashboard",
        Via::Command => "Command line",
        Via::Itself => "By itself",
    }
}

const fn what(action: Action) -> &'static str {
    match action {
        Action::EndpointCreated => "Endpoint created",
        Action::EndpointUpdated => "Endpoint changed",
        Action::EndpointEnabled => "Endpoint enabled",
        Action::EndpointDisabled => "Endpoint disabled",
        Action::EndpointDeleted => "Endpoint deleted",
        Action::SecretShown => "Signing secret shown",
        Action::SecretRegenerated => "Signing secret regenerated",
        Action::EndpointChallenged => "Challenge sent",
        Action::EndpointVerified => "Endpoint verified",
        Action::EndpointTested => "Test event sent",
        Action::EventResent => "Message resent",
        Action::ReplayStarted => "Recovery started",
        Action::ReplayCancelled => "Recovery cancelled",
        Action::ErasureStarted => "Erasure started",
        Action::RetentionUpdated => "Retention changed",
        Action::EventTypeCreated => "Event type registered",
        Action::KeyCreated => "API key created",
        Action::KeyRevoked => "API key revoked",
        Action::PortalOpened => "Portal link made",
        Action::SignedIn => "Signed in",
        Action::MasterKeyRotated => "Master key rotated",
    }
}

/// Words of the address and their names.
type Choices = Vec<(&'static str, &'static str)>;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    /// This page's address.
    here: String,
    /// The visitor may know which keys called, and from where.
    tells_callers: bool,
    asked: Asked,
    doors: Choices,
    actions: Choices,
    ranges: [(&'static str, &'static str, u64); 4],
    rows: Vec<Row>,
    next: Option<String>,
    previous: Option<String>,
}

pub(super) async fn of_account(
    State(control): State<Control>,
    scope: Scope,
    Query(mut asked): Query<Asked>,
) -> Answer {
    if scope.portal {
        asked.key.clear();
    }
    let frame = Frame::of("Audit log", &scope);
    show(&control, &scope.identity, frame, !scope.portal, asked).await
}

pub(super) async fn everywhere(
    State(control): State<Control>,
    operator: Operator,
    Query(asked): Query<Asked>,
) -> Answer {
    let frame = Frame::operators("Audit log", "audit-log", operator.brand);
    show(&control, &operator.identity, frame, true, asked).await
}

/// The log of the frame's account, or of everything.
async fn show(
    control: &Control,
    identity: &Identity,
    frame: Frame,
    tells_callers: bool,
    asked: Asked,
) -> Answer {
    let filter = asked.filter(frame.account.clone())?;
    let listed = control.audit_log(identity, &filter, Some(PAGE_SIZE), &asked.page);
    let listed = listed.await?;
    let link = |token: &str| (!token.is_empty()).then(|| asked.to_page(token));
    let rows = listed.items.into_iter();
    let page = AuditPage {
        here: match &frame.account {
            Some(account) => format!("/accounts/{account}/audit-log"),
            None => "/audit-log".to_owned(),
        },
        frame: Frame {
            section: "audit-log",
            ..frame
        },
        tells_callers,
        doors: choices(Via::ALL, Via::as_str, |via| door(via, tells_callers)),
        actions: choices(Action::ALL, Action::as_str, what),
        ranges: RANGES,
        rows: rows.map(|entry| Row::new(entry, tells_callers)).collect(),
        next: link(&listed.next_page_token),
        previous: link(&listed.prev_page_token),
        asked,
    };
    Ok(render(StatusCode::OK, &page))
}

fn choices<T: Copy>(
    all: &[T],
    word: fn(T) -> &'static str,
    name: impl Fn(T) -> &'static str,
) -> Choices {
    all.iter().map(|one| (word(*one), name(*one))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn entry(via: Via, action: Action, target: &str) -> Entry {
        let mut entry = Entry::of_itself(action, target, Timestamp::from_unix_millis(0))
            .within(&AccountId::parse("acme").unwrap());
        entry.key_id = "the-operators".to_owned();
        let address = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
        entry.origin = Origin { via, address };
        entry
    }

    #[test]
    fn a_customer_learns_no_key_and_no_address_but_those_of_their_own_visits() {
        let seen = |via, tells| {
            let row = Row::new(entry(via, Action::EventResent, ""), tells);
            (row.key_id, row.address)
        };
        let of = |key: &str, address: &str| (key.to_owned(), address.to_owned());
        assert_eq!(seen(Via::Rest, false), of("", ""));
        assert_eq!(seen(Via::Portal, false), of("", "192.0.2.7"));
        assert_eq!(seen(Via::Rest, true), of("the-operators", "192.0.2.7"));
        let made = |tells| Row::new(entry(Via::Rest, Action::KeyCreated, "a-key"), tells);
        assert_eq!(
            (made(false).target, made(true).target),
            (String::new(), "a-key".to_owned())
        );
    }

    #[test]
    fn a_row_leads_to_what_it_is_about() {
        let leads = |action, target: &str| Row::new(entry(Via::Rest, action, target), true).link;
        let endpoint = EndpointId::new().to_string();
        let to = |path: String| Some(format!("/accounts/acme/{path}"));
        let shown = leads(Action::SecretShown, &endpoint);
        assert_eq!(shown, to(format!("webhooks/{endpoint}")));
        assert_eq!(leads(Action::EndpointDeleted, &endpoint), None);
        let delivery = DeliveryId::new().to_string();
        let resent = leads(Action::EventResent, &delivery);
        assert_eq!(resent, to(format!("search?q={delivery}")));
        assert_eq!(leads(Action::KeyCreated, "0011223344556677"), None);
    }
}
