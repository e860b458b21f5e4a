//! The fields of an endpoint as a form shows and returns them.

use domain::Problem;

use super::forms::{Errors, Form};
use crate::core::{
    CallersHeaders, Control, EndpointChange, EndpointView, EventTypeView, NewEndpoint, PolicyChange,
};

/// More types than this are not offered.
const MAX_PAGES: usize = 10;
const PAGE: u32 = 100;

/// A checkbox.
#[derive(Debug)]
pub(super) struct TypeChoice {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) operational: bool,
    pub(super) chosen: bool,
}

/// What was typed, or what an endpoint has; with what is wrong.
#[derive(Debug, Default)]
pub(super) struct EndpointForm {
    pub(super) url: String,
    pub(super) description: String,
    pub(super) rate_limit: String,
    pub(super) types: Vec<TypeChoice>,
    /// Delays, comma-separated.
    pub(super) retry_schedule: String,
    pub(super) timeout_seconds: String,
    pub(super) max_concurrency: String,
    /// A line each: `Name: value`.
    pub(super) headers: String,
    pub(super) send_traceparent: bool,
    /// The change, by its Unix milliseconds, that the form was filled in after;
    /// empty: the endpoint is new.
    pub(super) seen: String,
    pub(super) errors: Errors,
}

impl EndpointForm {
    pub(super) fn empty(catalogue: Vec<EventTypeView>) -> Self {
        Self {
            types: choices(catalogue, &[]),
            ..Self::default()
        }
    }

    pub(super) fn of(view: &EndpointView, catalogue: Vec<EventTypeView>) -> Self {
        let policy = &view.policy;
        let number = |number: Option<u32>| number.map_or_else(String::new, |n| n.to_string());
        let schedule = policy.retry_schedule.as_ref();
        let lines = policy.headers.iter();
        let lines: Vec<_> = lines
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        Self {
            url: view.url.clone(),
            description: view.description.clone(),
            rate_limit: number(view.rate_limit),
            types: choices(catalogue, &view.event_types),
            retry_schedule: schedule.map_or_else(String::new, |delays| delays.join(", ")),
            timeout_seconds: number(policy.timeout_seconds),
            max_concurrency: number(policy.max_concurrency),
            headers: lines.join("\n"),
            send_traceparent: policy.send_traceparent,
            seen: last_change(view),
            errors: Errors::default(),
        }
    }

    pub(super) fn sent(form: &Form, catalogue: Vec<EventTypeView>) -> Self {
        Self {
            url: form.text("url"),
            description: form.text("description"),
            rate_limit: form.text("rate_limit"),
            types: choices(catalogue, &form.all("event_types")),
            retry_schedule: form.text("retry_schedule"),
            timeout_seconds: form.text("timeout_seconds"),
            max_concurrency: form.text("max_concurrency"),
            headers: form.text("headers"),
            send_traceparent: form.has("send_traceparent"),
            seen: form.text("seen"),
            errors: Errors::default(),
        }
    }

    /// Complains if the endpoint was changed since the form was filled in; sent
    /// again, the form replaces that change.
    pub(super) fn compare(&mut self, now: &EndpointView) {
        let last = last_change(now);
        if !self.seen.is_empty() && self.seen != last {
            self.seen = last;
            self.errors = Errors::of_the_whole(
                "The endpoint was changed meanwhile, in another tab or by somebody else. Save \
                 again to replace that by what stands here.",
            );
        }
    }

    /// The endpoint to be, with the deployment's policy.
    pub(super) fn new_endpoint(&mut self) -> Option<NewEndpoint> {
        let rate_limit = self.number("rate_limit", &self.rate_limit.clone());
        self.errors.is_empty().then(|| NewEndpoint {
            url: self.url.clone(),
            description: self.description.clone(),
            event_types: self.chosen(),
            rate_limit,
            policy: PolicyChange::default(),
        })
    }

    /// Everything as the form has it.
    pub(super) fn change(&mut self) -> Option<EndpointChange> {
        let rate_limit = self.number("rate_limit", &self.rate_limit.clone());
        let timeout_seconds = self.number("timeout_seconds", &self.timeout_seconds.clone());
        let max_concurrency = self.number("max_concurrency", &self.max_concurrency.clone());
        let headers = self.header_pairs();
        let delays: Vec<String> = self
            .retry_schedule
            .split(',')
            .map(|delay| delay.trim().to_owned())
            .filter(|delay| !delay.is_empty())
            .collect();
        let policy = PolicyChange {
            retry_schedule: Some((!delays.is_empty()).then_some(delays)),
            timeout_seconds: Some(timeout_seconds),
            max_concurrency: Some(max_concurrency),
            headers: Some(CallersHeaders(headers)),
            send_traceparent: Some(self.send_traceparent),
        };
        self.errors.is_empty().then(|| EndpointChange {
            url: Some(self.url.clone()),
            description: Some(self.description.clone()),
            event_types: Some(self.chosen()),
            rate_limit: Some(rate_limit),
            policy,
        })
    }

    fn chosen(&self) -> Vec<String> {
        let chosen = self.types.iter().filter(|choice| choice.chosen);
        chosen.map(|choice| choice.name.clone()).collect()
    }

    /// Blank is none.
    fn number(&mut self, field: &str, text: &str) -> Option<i64> {
        if text.is_empty() {
            return None;
        }
        let number = text.parse().ok();
        if number.is_none() {
            self.errors
                .add(field, "use a whole number, or leave it blank");
        }
        number
    }

    fn header_pairs(&mut self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for line in self.headers.lines().filter(|line| !line.trim().is_empty()) {
            match line.split_once(':') {
                Some((name, value)) => pairs.push((name.trim().into(), value.trim().into())),
                None => {
                    let message = "write a header a line, like X-Api-Key: 1234";
                    self.errors.add("headers", message);
                }
            }
        }
        pairs
    }
}

fn last_change(view: &EndpointView) -> String {
    view.updated_at.unix_millis().to_string()
}

fn choices(catalogue: Vec<EventTypeView>, chosen: &[String]) -> Vec<TypeChoice> {
    let choice = |view: EventTypeView| TypeChoice {
        chosen: chosen.contains(&view.name),
        name: view.name,
        description: view.description,
        operational: view.operational,
    };
    catalogue.into_iter().map(choice).collect()
}

/// Every type that is registered, by name.
pub(super) async fn catalogue(control: &Control) -> Result<Vec<EventTypeView>, Problem> {
    let (mut all, mut token) = (Vec::new(), String::new());
    for _ in 0..MAX_PAGES {
        let page = control.list_event_types(Some(PAGE), &token).await?;
        all.extend(page.items);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}
