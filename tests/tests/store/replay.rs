//! Replays of one endpoint take turns, and count what they can send.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::{
    AccountId, Cause, DeliveryId, EndpointId, ErasureId, ErasureMark, Outcome, Record, ReplayId,
    ReplayStatus, Timestamp,
};
use harness::suite::Scenario;
use store::{
    Batch, Body, Candidate, EventFilter, History, NewReplay, Pool, Progress, Quarantined,
    ReplayRow, Tracked,
};
use uuid::Uuid;

use crate::erasure::erase;
use crate::history::Story;

pub(crate) fn scenarios() -> Vec<Scenario<Pool>> {
    harness::scenarios![
        of_an_endpoint_one_replay_sends_at_a_time,
        a_replay_knows_what_another_one_waits_for,
        erased_events_are_not_counted,
        what_is_met_is_told_of_whole,
        an_event_that_is_still_to_be_recorded_is_waited_for,
    ]
}

const START: Timestamp = Timestamp::from_unix_millis(1_747_147_674_000);
const NOW: Timestamp = Timestamp::from_unix_millis(1_747_150_000_000);
const CLAIM: Duration = Duration::from_secs(5);

/// An event that failed for good, so many seconds after [`START`].
async fn failed(history: &History, endpoint: EndpointId, second: u64) -> Result<Story> {
    let story = Story::of(endpoint, START.plus(Duration::from_secs(second)))?;
    let (events, plans) = ([story.accepted()?], [story.plan(0)?]);
    let records = [for_good(&story)?];
    let batch = Batch {
        events: &events,
        plans: &plans,
        records: &records,
    };
    history.record(batch).await?;
    Ok(story)
}

/// Such an event, of which only this was told.
async fn failed_without_event(history: &History) -> Result<Story> {
    let story = Story::of(EndpointId::new(), START.plus(Duration::from_secs(1)))?;
    let batch = Batch {
        plans: &[story.plan(0)?],
        records: &[for_good(&story)?],
        ..Batch::default()
    };
    history.record(batch).await?;
    Ok(story)
}

fn for_good(story: &Story) -> Result<Record> {
    let mut record = story.record(1, true)?;
    if let Outcome::Attempt(attempt) = &mut record.outcome {
        attempt.next_attempt_at = None;
    }
    Ok(record)
}

/// A replay of all failures of an endpoint.
async fn start(history: &History, story: &Story, id: ReplayId) -> Result<ReplayRow> {
    let replay = NewReplay {
        id,
        account: story.account.clone(),
        endpoint: story.endpoint,
        status: ReplayStatus::Failed,
        event_types: Vec::new(),
        after: START,
        before: NOW,
        dry_run: false,
        created_at: NOW,
    };
    Ok(history.start_replay(&replay).await?)
}

async fn is_open(history: &History, row: &ReplayRow) -> Result<bool> {
    let open = history.open_replays().await?;
    Ok(open.contains(&ReplayId::from_uuid(row.id)))
}

/// Writes down what somebody has done of a replay.
async fn save(history: &History, row: &ReplayRow, progress: &Progress) -> Result<ReplayRow> {
    let (id, worker) = (ReplayId::from_uuid(row.id), Uuid::new_v4());
    // Each time somebody else, who waits until the claim before is over.
    let later = NOW.plus(Duration::from_secs(3_600));
    let claimed = history.claim_replay(id, worker, later, NOW.plus(CLAIM));
    claimed.await?.context("nobody else has it")?;
    ensure!(history.save_progress(id, worker, progress).await?);
    let account = AccountId::parse(&row.account).ok().context("an account")?;
    let saved = history.replay(&account, id).await?;
    saved.context("it is there")
}

async fn of_an_endpoint_one_replay_sends_at_a_time(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = failed(&history, EndpointId::new(), 1).await?;
    let other = failed(&history, EndpointId::new(), 1).await?;
    // By another process's clock the second one is older.
    let early = ReplayId::new();
    let first = start(&history, &story, ReplayId::new()).await?;
    let second = start(&history, &story, early).await?;
    let third = start(&history, &story, ReplayId::new()).await?;
    let others = start(&history, &other, ReplayId::new()).await?;
    ensure!(first.id < second.id && second.id < third.id, "in turn");
    for (row, expected) in [
        (&first, true),
        (&second, false),
        (&third, false),
        (&others, true),
    ] {
        ensure!(is_open(&history, row).await? == expected, "{row:?}");
    }
    // Whoever sends nothing more keeps nobody waiting, though it has not ended.
    let all_sent = Progress {
        cursor: Some(first.end()),
        ..Progress::default()
    };
    let saved = save(&history, &first, &all_sent).await?;
    ensure!(
        saved.has_sent_all() && saved.ended_at.is_none(),
        "{saved:?}"
    );
    for (row, expected) in [(&first, true), (&second, true), (&third, false)] {
        ensure!(is_open(&history, row).await? == expected, "{row:?}");
    }
    // A cancelled one has its end before it.
    let id = ReplayId::from_uuid(third.id);
    history.cancel_replay(&story.account, id).await?;
    ensure!(is_open(&history, &third).await?, "it is to be ended");
    Ok(())
}

async fn a_replay_knows_what_another_one_waits_for(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = failed(&history, EndpointId::new(), 1).await?;
    let first = start(&history, &story, ReplayId::new()).await?;
    let second = start(&history, &story, ReplayId::new()).await?;
    let delivery = DeliveryId::replayed(ReplayId::from_uuid(first.id), story.event);
    let sent = Progress {
        sent: 1,
        tracked: vec![Tracked {
            event_id: story.event.uuid(),
            accepted_at: story.at.unix_millis(),
            delivery_id: delivery.uuid(),
        }],
        cursor: Some(first.end()),
        ..Progress::default()
    };
    save(&history, &first, &sent).await?;
    let awaited = async |row: &ReplayRow| {
        let found = history.candidates(row, 8, NOW).await?;
        ensure!(found.len() == 1, "{found:?}");
        anyhow::Ok((found[0].awaited, found[0].deliveries.len()))
    };
    ensure!(awaited(&second).await? == (Some(delivery.uuid()), 1));
    ensure!(awaited(&first).await?.0.is_none(), "its own is no other's");
    // Once it is recorded and counted, the delivery itself tells.
    let replayed = Story {
        delivery,
        cause: Cause::Replay,
        ..story
    };
    let records = [replayed.record(1, false)?];
    let batch = Batch {
        events: &[],
        plans: &[],
        records: &records,
    };
    history.record(batch).await?;
    let counted = Progress {
        succeeded: 1,
        finished: vec![replayed.event.uuid()],
        ended_at: Some(NOW),
        ..Progress::default()
    };
    let ended = save(&history, &first, &counted).await?;
    ensure!(ended.state == "done" && ended.succeeded == 1, "{ended:?}");
    ensure!(awaited(&second).await? == (None, 2));
    Ok(())
}

async fn erased_events_are_not_counted(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let endpoint = EndpointId::new();
    let mut stories = Vec::new();
    for second in 1..=4 {
        stories.push(failed(&history, endpoint, second).await?);
    }
    let erased = async |story: &Story, at: Timestamp| {
        let id = ErasureId::new();
        let mark = ErasureMark::event(story.event, story.at);
        history.mark_erased(id, &[mark], at).await?;
        erase(&history, id).await
    };
    erased(&stories[0], NOW.minus(CLAIM)).await?;
    let row = start(&history, &stories[0], ReplayId::new()).await?;
    ensure!(row.matched == 3, "{row:?}");
    erased(&stories[1], NOW.plus(CLAIM)).await?;
    let bodies: Vec<Body> = history
        .candidates(&row, 8, NOW)
        .await?
        .into_iter()
        .map(|one| one.body)
        .collect();
    let expected = [
        Body::Erased { counted: false },
        Body::Erased { counted: true },
        Body::Kept(b"{}".to_vec()),
        Body::Kept(b"{}".to_vec()),
    ];
    ensure!(bodies == expected, "{bodies:?}");
    // The others: one fails again, one has succeeded meanwhile.
    let progress = Progress {
        erased: 1,
        failed: 1,
        cursor: Some(row.end()),
        ended_at: Some(NOW),
        ..Progress::default()
    };
    let ended = save(&history, &row, &progress).await?;
    let counts = (ended.matched, ended.succeeded, ended.failed);
    ensure!(counts == (2, 1, 1), "{ended:?}");
    // An account's erasure takes the rows themselves: nothing of it has succeeded.
    let row = start(&history, &stories[0], ReplayId::new()).await?;
    ensure!(row.matched == 2, "{row:?}");
    let mark = ErasureMark {
        id: ErasureMark::of_account(&stories[0].account),
        accepted_before: NOW,
    };
    history
        .mark_erased(ErasureId::new(), &[mark], NOW.plus(CLAIM))
        .await?;
    let none = Progress {
        cursor: Some(row.end()),
        ended_at: Some(NOW),
        ..Progress::default()
    };
    let ended = save(&history, &row, &none).await?;
    let counts = (ended.state.as_str(), ended.matched, ended.succeeded);
    ensure!(counts == ("done", 0, 0), "{ended:?}");
    Ok(())
}

/// A delivery that is there has its event, and an event that is planned its
/// deliveries, whenever somebody asks.
async fn what_is_met_is_told_of_whole(pool: Pool) -> Result<()> {
    const EVENTS: u64 = 400;
    let history = History::new(pool);
    let endpoint = EndpointId::new();
    let story = failed(&history, endpoint, 1).await?;
    let row = start(&history, &story, ReplayId::new()).await?;
    let newest = EventFilter::default();
    let recording = async {
        for second in 2..=EVENTS {
            failed(&history, endpoint, second).await?;
        }
        anyhow::Ok(())
    };
    let asking = async {
        let mut met = 0;
        while met < EVENTS as usize {
            let candidates = history.candidates(&row, 1_000, NOW).await?;
            let kept = |one: &Candidate| matches!(one.body, Body::Kept(_));
            ensure!(candidates.iter().all(kept), "{:?}", candidates.last());
            met = candidates.len();
            let events = history.events(&story.account, &newest, None, 8);
            for event in events.await?.rows {
                ensure!(!event.planned || event.deliveries.len() == 1, "{event:?}");
            }
        }
        Ok(met)
    };
    let ((), met) = tokio::try_join!(recording, asking)?;
    ensure!(met == EVENTS as usize, "{met}");
    Ok(())
}

/// Deliveries come over another stream than events, and may be faster.
async fn an_event_that_is_still_to_be_recorded_is_waited_for(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = failed_without_event(&history).await?;
    let row = start(&history, &story, ReplayId::new()).await?;
    let body = async |now| {
        let mut found = history.candidates(&row, 8, now).await?;
        let candidate = found.pop().context("it has failed")?;
        anyhow::Ok(candidate.body)
    };
    ensure!(body(NOW).await? == Body::Untold);
    let much_later = NOW.plus(Duration::from_secs(7_200));
    ensure!(body(much_later).await? == Body::Expired);
    let with = Batch {
        events: &[story.accepted()?],
        ..Batch::default()
    };
    history.record(with).await?;
    ensure!(matches!(body(NOW).await?, Body::Kept(_)));

    let refused = failed_without_event(&history).await?;
    let row = start(&history, &refused, ReplayId::new()).await?;
    let item = Quarantined {
        kind: "event",
        name: "it",
        event: refused.event,
    };
    history.quarantine(item, "too large", NOW).await?;
    let found = history.candidates(&row, 8, NOW).await?;
    ensure!(
        found.len() == 1 && found[0].body == Body::Expired,
        "{found:?}"
    );
    Ok(())
}
