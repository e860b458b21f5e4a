//! The check that an endpoint is its account's, where the operator wants it: a
//! URL that is new here gets nothing but a challenge, until it has echoed one.

use std::time::Duration;

use domain::audit::Action;
use domain::key::{Identity, Need};
use domain::operational::ENDPOINT_VERIFICATION;
use domain::{AccountId, EndpointId, Problem, Reason, Verification, challenge};
use proto::pipeline::PublishTestEventRequest;
use proto::status::to_problem;
use store::EndpointRow;
use tracing::warn;

use super::super::{Control, database, now};
use super::EndpointView;

/// Between two challenges to one endpoint that somebody asks for.
const INTERVAL: Duration = Duration::from_secs(10);

/// So many challenges are sent for an account in [`SPAN`]. More would make us a
/// means to knock at strangers' doors.
const MOST: u64 = 60;
const SPAN: Duration = Duration::from_secs(600);

impl Control {
    /// What a URL begins as that is registered now.
    pub(super) fn verification_of_new_url(&self) -> Verification {
        match self.0.config.verify_endpoints {
            true => Verification::Pending,
            false => Verification::NotRequired,
        }
    }

    /// Refuses a URL whose challenge would be one too many.
    pub(super) async fn check_challenges(&self, account: &AccountId) -> Result<(), Problem> {
        if !self.0.config.verify_endpoints {
            return Ok(());
        }
        let registry = &self.0.deps.registry;
        let sent = registry.count_challenges(account, now().minus(SPAN)).await;
        if sent.map_err(|error| database(&error))? < MOST {
            return Ok(());
        }
        let detail = format!(
            "{MOST} challenges were sent for this account within ten minutes; try it again in a \
             minute"
        );
        let problem = Problem::new(Reason::RateLimited, detail);
        Err(problem.retry_after(SPAN / 10))
    }

    /// Sends a challenge again to an endpoint that is not verified yet. Others
    /// are left as they are.
    pub(crate) async fn verify_endpoint(
        &self,
        identity: &Identity,
        account: &AccountId,
        id: EndpointId,
    ) -> Result<EndpointView, Problem> {
        identity.authorise(account, Need::Admin)?;
        let row = self.find(account, id).await?;
        if !row.endpoint.awaits_verification() {
            return self.view(identity, row).await;
        }
        if row.endpoint.disabled {
            let detail = "the endpoint is disabled; enable it and send the challenge then";
            return Err(Problem::new(Reason::EndpointDisabled, detail));
        }
        self.check_challenges(account).await?;
        let registry = &self.0.deps.registry;
        let claimed = registry.claim_challenge(account, id, INTERVAL, now()).await;
        if !claimed.map_err(|error| database(&error))? {
            let detail = "a challenge was sent a moment ago; send the next one in ten seconds";
            return Err(Problem::new(Reason::RateLimited, detail).retry_after(INTERVAL));
        }
        self.challenge(identity, &row).await?;
        self.view(identity, row).await
    }

    /// What cannot be sent now, its owner can ask for later.
    pub(super) async fn challenge_if_possible(&self, identity: &Identity, row: &EndpointRow) {
        if row.endpoint.disabled {
            return;
        }
        if let Err(problem) = self.challenge(identity, row).await {
            let endpoint = row.endpoint.id;
            warn!(%problem, %endpoint, "an endpoint's challenge is not sent");
        }
    }

    /// Publishes the event that makes a dispatcher challenge the endpoint.
    async fn challenge(&self, identity: &Identity, row: &EndpointRow) -> Result<(), Problem> {
        let endpoint = &row.endpoint;
        let (action, target) = (Action::EndpointChallenged, endpoint.id.to_string());
        // First: what is counted is what was asked for.
        self.note(identity, Some(&endpoint.account), action, &target)
            .await;
        let request = PublishTestEventRequest {
            account: endpoint.account.to_string(),
            endpoint_id: target,
            r#type: ENDPOINT_VERIFICATION.to_owned(),
            object: challenge::object(endpoint.id, &endpoint.url),
        };
        let mut ingest = self.0.upstream.own_events.clone();
        let sent = ingest.publish_test_event(request).await;
        sent.map(|_| ())
            .map_err(|status| to_problem(&status, Reason::IngestUnavailable))
    }
}
