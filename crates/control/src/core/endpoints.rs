//! Endpoints.

mod check;
mod policy;
mod secrets;
mod test_event;
mod verification;
mod view;

use domain::audit::Action;
use domain::key::{Identity, Need};
use domain::page::{PageToken, page_size};
use domain::{AccountId, DeliveryPolicy, EndpointId, Problem, Reason};
use store::{AccountRow, EndpointRow, EndpointUpdate, Mark};

pub(crate) use policy::{CallersHeaders, PolicyChange, PolicyView};
pub(crate) use view::{EndpointView, Health};

use super::{Control, Page, database, now};

/// An endpoint to be, in the caller's words.
#[derive(Debug)]
pub(crate) struct NewEndpoint {
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) event_types: Vec<String>,
    pub(crate) rate_limit: Option<i64>,
    pub(crate) policy: PolicyChange,
}

/// What is to change, in the caller's words; `None` is left as it is.
#[derive(Debug, Default)]
pub(crate) struct EndpointChange {
    pub(crate) url: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) event_types: Option<Vec<String>>,
    pub(crate) rate_limit: Option<Option<i64>>,
    pub(crate) policy: PolicyChange,
}

impl EndpointChange {
    /// The names of the fields that are to change.
    fn fields(&self) -> Vec<&'static str> {
        let policy = &self.policy;
        let fields = [
            ("url", self.url.is_some()),
            ("description", self.description.is_some()),
            ("event_types", self.event_types.is_some()),
            ("rate_limit", self.rate_limit.is_some()),
            ("retry_schedule", policy.retry_schedule.is_some()),
            ("timeout_seconds", policy.timeout_seconds.is_some()),
            ("max_concurrency", policy.max_concurrency.is_some()),
            ("headers", policy.headers.is_some()),
            ("send_traceparent", policy.send_traceparent.is_some()),
        ];
        let changed = fields.iter().filter(|(_, changed)| *changed);
        changed.map(|(name, _)| *name).collect()
    }
}

impl Control {
    pub(crate) async fn create_endpoint(
        &self,
        identity: &Identity,
        account: &AccountId,
        new: NewEndpoint,
    ) -> Result<EndpointView, Problem> {
        identity.authorise(account, Need::Admin)?;
        let change = EndpointChange {
            url: Some(new.url),
            description: Some(new.description),
            event_types: Some(new.event_types),
            rate_limit: Some(new.rate_limit),
            policy: new.policy,
        };
        self.check_room(account).await?;
        self.check_challenges(account).await?;
        let id = EndpointId::new();
        let checked = self.check_change(account, id, change).await?;
        let mark = Mark::Endpoint(account.clone(), id);
        self.check_broker(&mark).await?;
        let mut policy = DeliveryPolicy::default();
        policy.apply(&checked.policy);
        let row = store::NewEndpoint {
            id,
            account: account.clone(),
            url: checked.url.map(|(url, _)| url).unwrap_or_default(),
            description: checked.description.unwrap_or_default(),
            event_types: checked.event_types.unwrap_or_default(),
            verification: self.verification_of_new_url(),
            rate_limit: checked.rate_limit.flatten(),
            policy,
            secret: self.new_secret(id),
            created_at: now(),
        };
        let (action, target) = (Action::EndpointCreated, id.to_string());
        let registry = self.noting(identity, Some(account), action, &target, "");
        let row = registry.create_endpoint(&row).await;
        let row = row.map_err(|error| database(&error))?;
        self.announce(&mark).await?;
        if row.endpoint.awaits_verification() {
            self.challenge_if_possible(identity, &row).await;
        }
        // Nothing can have been sent to it yet.
        self.show(identity, row, Health::none_yet())
    }

    pub(crate) async fn get_endpoint(
        &self,
        identity: &Identity,
        account: &AccountId,
        id: EndpointId,
    ) -> Result<EndpointView, Problem> {
        identity.authorise(account, Need::Read)?;
        let row = self.find(account, id).await?;
        self.tell_what_is_shown(&Mark::Endpoint(account.clone(), id))
            .await;
        self.view(identity, row).await
    }

    pub(crate) async fn list_endpoints(
        &self,
        identity: &Identity,
        account: &AccountId,
        size: Option<u32>,
        token: &str,
    ) -> Result<Page<EndpointView>, Problem> {
        identity.authorise(account, Need::Read)?;
        let context = format!("endpoints {account}");
        let cursor = PageToken::decode_or_first(token, &context)?;
        let size = page_size(size);
        let found = self
            .0
            .deps
            .registry
            .endpoints(account, cursor.as_ref(), size + 1)
            .await;
        let found = found.map_err(|error| database(&error))?;
        let place = |row: &EndpointRow| {
            (
                row.endpoint.created_at.unix_millis(),
                row.endpoint.id.uuid(),
            )
        };
        let page = Page::assemble(found, size, cursor.as_ref(), &context, place);
        let Page {
            items,
            next_page_token,
            prev_page_token,
        } = page;
        let items = self.views(identity, account, items).await?;
        Ok(Page {
            items,
            next_page_token,
            prev_page_token,
        })
    }

    /// Accounts that have endpoints, by name, behind the name `after`.
    pub(crate) async fn accounts(
        &self,
        identity: &Identity,
        after: &str,
        limit: u32,
    ) -> Result<Vec<AccountRow>, Problem> {
        identity.authorise_everywhere(Need::Read)?;
        let found = self.0.deps.registry.accounts(after, limit).await;
        found.map_err(|error| database(&error))
    }

    pub(crate) async fn update_endpoint(
        &self,
        identity: &Identity,
        account: &AccountId,
        id: EndpointId,
        change: EndpointChange,
    ) -> Result<EndpointView, Problem> {
        identity.authorise(account, Need::Admin)?;
        let old = self.find(account, id).await?.endpoint;
        let done = (Action::EndpointUpdated, change.fields().join(" "));
        if change.url.as_ref().is_some_and(|url| *url != old.url) {
            self.check_challenges(account).await?;
        }
        let update = self.check_change(account, id, change).await?;
        let row = self.apply(identity, account, id, update, done).await?;
        if row.endpoint.awaits_verification() && row.endpoint.url != old.url {
            self.challenge_if_possible(identity, &row).await;
        }
        self.view(identity, row).await
    }

    pub(crate) async fn set_enabled(
        &self,
        identity: &Identity,
        account: &AccountId,
        id: EndpointId,
        enabled: bool,
    ) -> Result<EndpointView, Problem> {
        identity.authorise(account, Need::Admin)?;
        let disabled = (!enabled).then(|| "disabled through the API".to_owned());
        let row = self.find(account, id).await?;
        if row.endpoint.disabled == disabled.is_some() {
            // It stays disabled for the reason it was.
            return self.view(identity, row).await;
        }
        let update = EndpointUpdate {
            disabled: Some(disabled),
            ..EndpointUpdate::default()
        };
        let action = match enabled {
            true => Action::EndpointEnabled,
            false => Action::EndpointDisabled,
        };
        let done = (action, String::new());
        let row = self.apply(identity, account, id, update, done).await?;
        self.view(identity, row).await
    }

    pub(crate) async fn delete_endpoint(
        &self,
        identity: &Identity,
        account: &AccountId,
        id: EndpointId,
    ) -> Result<(), Problem> {
        identity.authorise(account, Need::Admin)?;
        self.find(account, id).await?;
        let mark = Mark::Endpoint(account.clone(), id);
        self.check_broker(&mark).await?;
        let (action, target) = (Action::EndpointDeleted, id.to_string());
        let registry = self.noting(identity, Some(account), action, &target, "");
        let deleted = registry.delete_endpoint(account, id).await;
        if !deleted.map_err(|error| database(&error))? {
            return Err(not_found());
        }
        self.announce(&mark).await
    }

    async fn apply(
        &self,
        identity: &Identity,
        account: &AccountId,
        id: EndpointId,
        update: EndpointUpdate,
        (action, detail): (Action, String),
    ) -> Result<EndpointRow, Problem> {
        let mark = Mark::Endpoint(account.clone(), id);
        self.check_broker(&mark).await?;
        let row = self
            .noting(identity, Some(account), action, &id.to_string(), &detail)
            .update_endpoint(account, id, &update, None, now())
            .await;
        let row = row
            .map_err(|error| database(&error))?
            .ok_or_else(not_found)?;
        self.announce(&mark).await?;
        Ok(row)
    }

    async fn find(&self, account: &AccountId, id: EndpointId) -> Result<EndpointRow, Problem> {
        let row = self.0.deps.registry.endpoint(account, id).await;
        row.map_err(|error| database(&error))?.ok_or_else(not_found)
    }
}

pub(crate) fn not_found() -> Problem {
    let detail = "this account has no endpoint with this id; GET its list of endpoints";
    Problem::new(Reason::EndpointNotFound, detail)
}
