use std::time::Duration;

use domain::egress::EndpointUrl;
use domain::endpoint::{check_description, check_event_types, check_rate_limit};
use domain::{AccountId, EndpointId, FieldViolation, Problem, Reason};
use store::EndpointUpdate;
use tokio::time::timeout;

use super::super::{Control, database};
use super::EndpointChange;

/// A name that does not resolve in time is accepted: the guard that counts is
/// at connect.
const RESOLVE: Duration = Duration::from_secs(1);

impl Control {
    /// Checks every field that is to change and names all that are at fault.
    /// What is secret is sealed for `endpoint`.
    pub(super) async fn check_change(
        &self,
        account: &AccountId,
        endpoint: EndpointId,
        change: EndpointChange,
    ) -> Result<EndpointUpdate, Problem> {
        let mut faults = Faults::default();
        let mut update = EndpointUpdate::default();
        if let Some(url) = change.url {
            match self.check_url(account, &url).await {
                Ok(()) => update.url = Some((url, self.verification_of_new_url())),
                Err(violation) => faults.add(Reason::UrlInvalid, violation),
            }
        }
        if let Some(description) = change.description {
            match check_description(&description) {
                Ok(()) => update.description = Some(description),
                Err(violation) => faults.add(Reason::FieldInvalid, violation),
            }
        }
        if let Some(names) = change.event_types {
            match check_event_types(names.iter().map(String::as_str)) {
                Ok(types) => {
                    let known = self.0.deps.registry.all_event_types().await;
                    let known = known.map_err(|error| database(&error))?;
                    match types.iter().find(|name| !known.contains(name)) {
                        None => update.event_types = Some(types),
                        Some(unknown) => {
                            let message = format!(
                                "{unknown} is not registered; GET /v1/event-types lists the types"
                            );
                            let violation = FieldViolation::new("event_types", message);
                            faults.add(Reason::EventTypeUnknown, violation);
                        }
                    }
                }
                Err(violation) => faults.add(Reason::EventTypeInvalid, violation),
            }
        }
        if let Some(limit) = change.rate_limit {
            match limit.map(check_rate_limit).transpose() {
                Ok(limit) => update.rate_limit = Some(limit),
                Err(violation) => faults.add(Reason::FieldInvalid, violation),
            }
        }
        update.policy = self.check_policy(endpoint, change.policy, &mut faults);
        faults.into_result().map(|()| update)
    }

    async fn check_url(&self, account: &AccountId, text: &str) -> Result<(), FieldViolation> {
        let policy = self.0.config.egress.of_account(account);
        let url = EndpointUrl::parse(text, &policy)?;
        let url::Host::Domain(name) = url.host() else {
            return Ok(());
        };
        let Ok(Ok(addresses)) = timeout(RESOLVE, self.0.deps.resolver.resolve(name)).await else {
            return Ok(());
        };
        if addresses
            .iter()
            .all(|address| policy.permits_host(name, *address))
        {
            return Ok(());
        }
        Err(FieldViolation::new(
            "url",
            "its host name leads to a private address; use a host that is public",
        ))
    }
}

/// What is at fault; the first names the reason.
#[derive(Default)]
pub(super) struct Faults(Option<Problem>);

impl Faults {
    pub(super) fn add(&mut self, reason: Reason, violation: FieldViolation) {
        self.0 = Some(match self.0.take() {
            None => violation.into_problem(reason),
            Some(problem) => problem.field(violation.field, violation.message),
        });
    }

    fn into_result(self) -> Result<(), Problem> {
        match self.0 {
            None => Ok(()),
            Some(problem) => Err(problem),
        }
    }
}
