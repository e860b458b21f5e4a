//! An account's quotas.

use domain::key::{Identity, Need};
use domain::{AccountId, Problem, Reason};

use super::{Control, database};
use crate::Limits;

/// What is allowed, and what there is.
#[derive(Debug)]
pub(crate) struct LimitsView {
    pub(crate) limits: Limits,
    pub(crate) endpoints: u64,
}

impl Control {
    pub(crate) async fn limits(
        &self,
        identity: &Identity,
        account: &AccountId,
    ) -> Result<LimitsView, Problem> {
        identity.authorise(account, Need::Read)?;
        Ok(LimitsView {
            limits: self.0.config.limits,
            endpoints: self.endpoints_of(account).await?,
        })
    }

    /// Refuses one more endpoint than the account may have. Calls at the same
    /// moment may each be the last one.
    pub(super) async fn check_room(&self, account: &AccountId) -> Result<(), Problem> {
        let Some(limit) = self.0.config.limits.endpoints else {
            return Ok(());
        };
        if self.endpoints_of(account).await? < u64::from(limit) {
            return Ok(());
        }
        let detail = format!("the account may have {limit} endpoints; delete one it does not need");
        Err(Problem::new(Reason::QuotaExceeded, detail))
    }

    async fn endpoints_of(&self, account: &AccountId) -> Result<u64, Problem> {
        let count = self.0.deps.registry.count_endpoints(account).await;
        count.map_err(|error| database(&error))
    }
}
