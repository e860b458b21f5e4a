//! Who changed what: found by every filter, a bounded look at a time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::audit::{Action, Entry, Origin, Via};
use domain::page::{Cursor, Direction};
use domain::{AccountId, Timestamp};
use harness::suite::Scenario;
use store::{AuditFilter, Pool, Registry};

pub(crate) fn scenarios() -> Vec<Scenario<Pool>> {
    harness::scenarios![
        an_entry_is_found_by_each_filter_and_by_no_other,
        a_look_at_the_audit_log_that_was_long_enough_goes_on,
    ]
}

const START: Timestamp = Timestamp::from_unix_millis(1_747_000_000_000);

/// The nth thing that is done.
fn entry(account: &AccountId, number: u64, action: Action, via: Via) -> Entry {
    let at = START.plus(Duration::from_secs(number));
    let mut entry = Entry::of_itself(action, &format!("target-{number}"), at).within(account);
    entry.key_id = format!("key-{number}");
    entry.origin = Origin { via, address: None };
    entry
}

async fn targets(registry: &Registry, filter: AuditFilter) -> Result<Vec<String>> {
    let found = registry.audit_entries(&filter, None, 10).await?;
    ensure!(found.ended_at.is_none(), "{found:?}");
    Ok(found.rows.into_iter().map(|entry| entry.target).collect())
}

async fn an_entry_is_found_by_each_filter_and_by_no_other(pool: Pool) -> Result<()> {
    let registry = Registry::new(pool);
    let account = AccountId::parse("audit-filters")?;
    for (number, action, via) in [
        (0, Action::EndpointCreated, Via::Rest),
        (1, Action::EventResent, Via::Portal),
        (2, Action::EventResent, Via::Rest),
    ] {
        registry.note(&entry(&account, number, action, via)).await?;
    }
    let stranger = AccountId::parse("audit-stranger")?;
    let of_stranger = entry(&stranger, 1, Action::EventResent, Via::Portal);
    registry.note(&of_stranger).await?;
    let any = || AuditFilter {
        account: Some(account.clone()),
        ..AuditFilter::default()
    };
    let cases: [(AuditFilter, &[u64]); 8] = [
        (any(), &[2, 1, 0]),
        (
            AuditFilter {
                via: Some(Via::Rest),
                ..any()
            },
            &[2, 0],
        ),
        (
            AuditFilter {
                action: Some(Action::EventResent),
                ..any()
            },
            &[2, 1],
        ),
        (
            AuditFilter {
                key_id: "key-1".to_owned(),
                ..any()
            },
            &[1],
        ),
        (
            AuditFilter {
                target: "target-0".to_owned(),
                ..any()
            },
            &[0],
        ),
        (
            AuditFilter {
                after: Some(START.plus(Duration::from_secs(1))),
                ..any()
            },
            &[2, 1],
        ),
        (
            AuditFilter {
                before: Some(START.plus(Duration::from_secs(1))),
                ..any()
            },
            &[0],
        ),
        (
            AuditFilter {
                action: Some(Action::EventResent),
                via: Some(Via::Rest),
                target: "target-1".to_owned(),
                ..any()
            },
            &[],
        ),
    ];
    for (filter, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|one| format!("target-{one}")).collect();
        let found = targets(&registry, filter.clone()).await?;
        ensure!(found == expected, "{filter:?}: {found:?}");
    }
    Ok(())
}

async fn a_look_at_the_audit_log_that_was_long_enough_goes_on(pool: Pool) -> Result<()> {
    let registry = Registry::new(pool);
    let account = AccountId::parse("audit-long")?;
    let oldest = entry(&account, 0, Action::KeyCreated, Via::Rest);
    registry.note(&oldest).await?;
    for number in 1..=1_200 {
        let one = entry(&account, number, Action::SecretShown, Via::Rest);
        registry.note(&one).await?;
    }
    let filter = AuditFilter {
        account: Some(account),
        action: Some(Action::KeyCreated),
        ..AuditFilter::default()
    };
    let first = registry.audit_entries(&filter, None, 21).await?;
    ensure!(first.rows.is_empty(), "{first:?}");
    let (at, id) = first.ended_at.context("a place where it goes on")?;
    let expected = START.plus(Duration::from_secs(201)).unix_millis();
    ensure!(at == expected, "{at}, not {expected}");
    let direction = Direction::Next;
    let cursor = Cursor { at, id, direction };
    let second = registry.audit_entries(&filter, Some(&cursor), 21).await?;
    ensure!(second.rows == [oldest], "{second:?}");
    ensure!(second.ended_at.is_none(), "{second:?}");
    Ok(())
}
