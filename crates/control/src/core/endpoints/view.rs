use std::collections::HashMap;
use std::time::Duration;

use domain::key::Identity;
use domain::{AccountId, EndpointId, Problem, Timestamp, Verification};
use proto::v1::{BatchGetEndpointHealthRequest, EndpointHealth};
use store::EndpointRow;
use tracing::debug;

use super::{Control, PolicyView};

/// An answer about endpoints does not wait longer for their health.
const PATIENCE: Duration = Duration::from_secs(2);

/// An endpoint as both APIs show it.
#[derive(Debug, Clone)]
pub(crate) struct EndpointView {
    pub(crate) id: EndpointId,
    pub(crate) account: AccountId,
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) event_types: Vec<String>,
    pub(crate) rate_limit: Option<u32>,
    pub(crate) policy: PolicyView,
    pub(crate) verification: Verification,
    pub(crate) disabled: bool,
    pub(crate) disabled_reason: String,
    pub(crate) health: Health,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl EndpointView {
    /// Whether it has to echo a challenge before it gets events.
    pub(crate) fn awaits_verification(&self) -> bool {
        self.verification == Verification::Pending
    }
}

/// How an endpoint is doing.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    pub(crate) state: String,
    pub(crate) message: String,
    /// Since the first failure after the last success.
    pub(crate) failing_since: Option<Timestamp>,
}

impl Health {
    fn unknown(message: &str) -> Self {
        Self {
            state: "unknown".to_owned(),
            message: message.to_owned(),
            failing_since: None,
        }
    }

    pub(super) fn none_yet() -> Self {
        Self::unknown("No deliveries yet")
    }
}

impl Control {
    pub(super) async fn view(
        &self,
        identity: &Identity,
        row: EndpointRow,
    ) -> Result<EndpointView, Problem> {
        let account = row.endpoint.account.clone();
        let mut views = self.views(identity, &account, vec![row]).await?;
        views.pop().ok_or_else(super::not_found)
    }

    /// An endpoint is shown with or without history's help.
    pub(super) async fn views(
        &self,
        identity: &Identity,
        account: &AccountId,
        rows: Vec<EndpointRow>,
    ) -> Result<Vec<EndpointView>, Problem> {
        let health = if rows.is_empty() {
            None
        } else {
            self.health(account, &rows).await
        };
        rows.into_iter()
            .map(|row| {
                let known = match &health {
                    None => Health::unknown("History is unavailable"),
                    Some(health) => health
                        .get(&row.endpoint.id.to_string())
                        .cloned()
                        .unwrap_or_else(Health::none_yet),
                };
                self.show(identity, row, known)
            })
            .collect()
    }

    /// The endpoint as this caller may see it.
    pub(super) fn show(
        &self,
        identity: &Identity,
        row: EndpointRow,
        health: Health,
    ) -> Result<EndpointView, Problem> {
        let policy = self.show_policy(identity, &row.endpoint)?;
        let EndpointRow {
            endpoint,
            description,
            updated_at,
        } = row;
        Ok(EndpointView {
            id: endpoint.id,
            account: endpoint.account,
            url: endpoint.url,
            description,
            event_types: endpoint
                .event_types
                .iter()
                .map(ToString::to_string)
                .collect(),
            rate_limit: endpoint.rate_limit,
            policy,
            verification: endpoint.verification,
            disabled: endpoint.disabled,
            disabled_reason: endpoint.disabled_reason,
            health,
            created_at: endpoint.created_at,
            updated_at,
        })
    }

    async fn health(
        &self,
        account: &AccountId,
        rows: &[EndpointRow],
    ) -> Option<HashMap<String, Health>> {
        let request = BatchGetEndpointHealthRequest {
            account: account.to_string(),
            endpoint_ids: rows.iter().map(|row| row.endpoint.id.to_string()).collect(),
        };
        let mut client = self.history();
        let answer = tokio::time::timeout(PATIENCE, client.batch_get_endpoint_health(request));
        let answer = match answer.await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => {
                debug!(%status, "history does not tell the health of endpoints");
                return None;
            }
            Err(_) => return None,
        };
        let health = answer.health.into_iter();
        Some(health.map(|(id, health)| (id, health.into())).collect())
    }
}

impl From<EndpointHealth> for Health {
    fn from(health: EndpointHealth) -> Self {
        let since = health.failing_since.as_ref();
        Self {
            failing_since: since.and_then(proto::time::from_proto),
            state: health.state,
            message: health.message,
        }
    }
}
