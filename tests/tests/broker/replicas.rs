//! What a replica that lags behind its stream's leader must make nobody believe.

use anyhow::{Context, Result, ensure};
use broker::{Log, Place};
use bytes::Bytes;
use domain::{AcceptedEvent, AccountId, EventId, EventType, Tags, TraceContext};
use harness::nats::password;
use harness::nats::raw::Raw;
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::json;
use uuid::Uuid;

use crate::world::{PATIENCE, World, now};

/// Each is answered by either of two.
const QUESTIONS: usize = 40;
/// The event that it lacks.
const FIRST: u64 = 1;

pub(crate) fn scenarios() -> Vec<Scenario<World>> {
    harness::scenarios![what_a_replica_lacks_is_there]
}

/// The replica is a mirror that has a part of EVENTS, and answers for all of it.
async fn what_a_replica_lacks_is_there(world: World) -> Result<()> {
    let event = |account| {
        Ok::<_, anyhow::Error>(AcceptedEvent {
            id: EventId::new(),
            account: AccountId::parse(account)?,
            event_type: EventType::parse("message.report")?,
            body: Bytes::from_static(b"{}"),
            tags: Tags::parse([])?,
            live_mode: true,
            accepted_at: now(),
            trace: TraceContext::root([1; 24]),
            target: None,
            excluded: None,
        })
    };
    let broker = &world.broker;
    for account in ["acme", "other"] {
        broker
            .publish_event(&event(account)?, Uuid::new_v4(), &[1; 32], PATIENCE)
            .await?;
    }
    let url = world.nats.url();
    let address = url.strip_prefix("nats://").context("it is such a URL")?;
    let password = password("operator");
    let mut raw = Raw::connect(address, Some(("operator", &password))).await?;
    let mirror = json!({
        "name": "LAGS", "mirror": {"name": "EVENTS", "filter_subject": "events.other"},
        "mirror_direct": true, "allow_direct": true, "storage": "memory",
    });
    let made = raw.ask("STREAM.CREATE.LAGS", &mirror).await?;
    ensure!(made["error"].is_null(), "{made}");
    eventually("the replica answers", PATIENCE, || async {
        let found = broker.stored(Log::Events, None, Place::After(0), 1).await?;
        ensure!(found.iter().all(|one| one.sequence != FIRST), "it has it");
        Ok(())
    })
    .await?;
    let acme = AccountId::parse("acme")?;
    for _ in 0..QUESTIONS {
        ensure!(broker.event_at(FIRST).await?.is_some(), "it has expired");
        let stored = broker.stored_at(Log::Events, FIRST).await?;
        ensure!(stored.is_some(), "it is erased");
        let behind = broker.stored(Log::Events, Some(&acme), Place::After(0), 1);
        ensure!(behind.await?.len() == 1, "nothing is left");
        let since = Place::Since(now().minus(PATIENCE));
        let recent = broker.stored(Log::Events, Some(&acme), since, 1).await;
        ensure!(recent.is_err() || recent.is_ok_and(|found| found.len() == 1));
    }
    ensure!(broker.event_at(3).await?.is_none());
    ensure!(broker.stored_at(Log::Events, 3).await?.is_none());
    for place in [Place::After(FIRST), Place::Since(now())] {
        let none = broker.stored(Log::Events, Some(&acme), place, 1).await?;
        ensure!(none.is_empty(), "{none:?}");
    }
    Ok(())
}
