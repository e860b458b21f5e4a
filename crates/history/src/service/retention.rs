//! How long an account's things are kept, as it is asked for.

use std::time::Duration;

use domain::audit::Action;
use domain::key::Need;
use domain::{AccountId, Problem, Reason};
use proto::v1::{GetRetentionRequest, Retention, UpdateRetentionRequest};
use store::AccountRetention;
use tonic::Request;

use super::{Service, database};

/// Retries may take 9 days, and what is under way is never removed.
const FEWEST_RECORD_DAYS: i64 = 9;
const DAY: Duration = Duration::from_secs(86_400);

/// What an account may ask for at most.
#[derive(Debug, Clone, Copy)]
struct Limits {
    events: i64,
    records: i64,
}

impl Limits {
    /// Whatever is kept longer in one account would be kept in all.
    fn check(self, asked: AccountRetention) -> Result<(), Problem> {
        let invalid = |field: &str, message: String| {
            Err(Problem::of_field(Reason::FieldInvalid, field, message))
        };
        let (events, records) = (
            asked.event_days.unwrap_or(self.events),
            asked.record_days.unwrap_or(self.records),
        );
        if !(1..=self.events).contains(&events) {
            let message = format!("use 1 to {}, what the deployment keeps", self.events);
            return invalid("event_days", message);
        }
        if !(FEWEST_RECORD_DAYS..=self.records).contains(&records) {
            let message = format!("use 9 (retries may take that long) to {}", self.records);
            return invalid("record_days", message);
        }
        if records < events {
            let message = "an event is shown with what became of it: keep records as long";
            return invalid("record_days", message.to_owned());
        }
        Ok(())
    }
}

impl Service {
    pub(super) async fn retention(
        &self,
        request: Request<GetRetentionRequest>,
    ) -> Result<Retention, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let asked = self.retention_of(&account).await?;
        Ok(self.show_retention(asked))
    }

    pub(super) async fn set_retention(
        &self,
        request: Request<UpdateRetentionRequest>,
    ) -> Result<Retention, Problem> {
        let (identity, account) = self
            .open(&request, &request.get_ref().account, Need::Admin)
            .await?;
        let message = request.into_inner();
        let mut asked = self.retention_of(&account).await?;
        // 0: as in the rest of the deployment.
        let days = |days: u32| Some(i64::from(days)).filter(|days| *days > 0);
        if let Some(event_days) = message.event_days {
            asked.event_days = days(event_days);
        }
        if let Some(record_days) = message.record_days {
            asked.record_days = days(record_days);
        }
        self.limits().check(asked)?;
        let kept = self.0.deps.store.keep_for(&account, asked).await;
        kept.map_err(|error| database(&error))?;
        self.note(&identity, &account, Action::RetentionUpdated, "")
            .await;
        Ok(self.show_retention(asked))
    }

    async fn retention_of(&self, account: &AccountId) -> Result<AccountRetention, Problem> {
        let found = self.0.deps.store.retention_of(account).await;
        found.map_err(|error| database(&error))
    }

    fn limits(&self) -> Limits {
        let days = |kept: Duration| i64::try_from(kept.as_secs() / DAY.as_secs());
        let retention = self.0.config.retention;
        Limits {
            events: days(retention.events).unwrap_or(i64::MAX),
            records: days(retention.records).unwrap_or(i64::MAX),
        }
    }

    fn show_retention(&self, asked: AccountRetention) -> Retention {
        let limits = self.limits();
        let days = |days: i64| u32::try_from(days).unwrap_or(u32::MAX);
        Retention {
            event_days: asked.event_days.map(days),
            record_days: asked.record_days.map(days),
            deployment_event_days: days(limits.events),
            deployment_record_days: days(limits.records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_may_only_have_less_kept() {
        let limits = Limits {
            events: 30,
            records: 90,
        };
        let fault = |event_days, record_days| {
            let asked = AccountRetention {
                event_days,
                record_days,
            };
            let fault = limits.check(asked).err();
            fault.map(|problem| problem.fields[0].field.clone())
        };
        assert_eq!(fault(None, None), None);
        assert_eq!(fault(Some(1), Some(9)), None);
        assert_eq!(fault(Some(30), Some(90)), None);
        for (event_days, record_days, field) in [
            (Some(31), None, "event_days"),
            (None, Some(91), "record_days"),
            (Some(1), Some(8), "record_days"),
            // Of events as long as the deployment's.
            (None, Some(20), "record_days"),
        ] {
            assert_eq!(fault(event_days, record_days).as_deref(), Some(field));
        }
    }
}
