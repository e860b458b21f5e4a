//! What is erased is gone, stays gone, and takes nothing else with it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::{EndpointId, ErasureId, ErasureMark, ErasureScope, EventId, Timestamp};
use harness::suite::Scenario;
use store::{AttemptFilter, Batch, Erased, EventFilter, Findings, History, Pool, Stats};
use uuid::Uuid;

use crate::history::Story;

pub(crate) fn scenarios() -> Vec<Scenario<Pool>> {
    harness::scenarios![
        an_erased_event_keeps_nothing_but_that_it_was,
        nothing_of_an_erased_event_comes_back,
        an_accounts_past_goes_and_later_things_stay,
        an_erasure_is_claimed_by_one_and_forgets_its_tag,
        an_erasure_is_younger_than_the_open_ones_of_its_account,
        every_open_erasure_gets_its_turn,
        what_has_ended_is_forgotten_after_a_while,
    ]
}

const NOW: Timestamp = Timestamp::from_unix_millis(1_747_150_000_000);

async fn tell(history: &History, story: &Story, failed: bool) -> Result<Findings> {
    let (events, plans) = ([story.accepted()?], [story.plan(0)?]);
    let records = [story.record(1, failed)?];
    let batch = Batch {
        events: &events,
        plans: &plans,
        records: &records,
    };
    Ok(history.record(batch).await?)
}

async fn mark(history: &History, marks: &[ErasureMark]) -> Result<ErasureId> {
    let id = ErasureId::new();
    history.mark_erased(id, marks, NOW).await?;
    Ok(id)
}

/// Erases all events that are marked; what is gone.
pub(crate) async fn erase(history: &History, id: ErasureId) -> Result<Erased> {
    let (mut after, mut sum) = (Uuid::nil(), Erased::default());
    while let Some((last, gone)) = history.erase_events(id, after, 2).await? {
        after = last;
        sum += gone;
    }
    Ok(sum)
}

async fn shows_nothing(history: &History, story: &Story) -> Result<()> {
    let event = history.event(&story.account, story.event).await?;
    let event = event.context("that it was stays")?;
    ensure!(event.body.is_empty() && event.tags.is_empty(), "{event:?}");
    let tagged = EventFilter {
        tag: Some(("chat".to_owned(), "42".to_owned())),
        ..EventFilter::default()
    };
    let tagged = history.events(&story.account, &tagged, None, 10).await?;
    ensure!(tagged.rows.is_empty(), "{tagged:?}");
    let filter = AttemptFilter::default();
    let attempts = history.attempts(&story.account, &filter, None, 10).await?;
    ensure!(attempts.rows.is_empty(), "{attempts:?}");
    let delivery = &event.deliveries[0];
    ensure!(
        delivery.state == "failed" && delivery.reason == "erased",
        "{delivery:?}"
    );
    let stats = history.stats(story.endpoint, None, None).await?;
    let expected = Stats {
        total: 1,
        failed: 1,
        ..Stats::default()
    };
    ensure!(stats == expected, "{stats:?}");
    Ok(())
}

async fn an_erased_event_keeps_nothing_but_that_it_was(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let (story, other) = (Story::new()?, Story::new()?);
    for one in [&story, &other] {
        tell(&history, one, true).await?;
    }
    let id = mark(&history, &[ErasureMark::event(story.event, story.at)]).await?;
    let gone = erase(&history, id).await?;
    let expected = Erased {
        events: 1,
        deliveries: 1,
        attempts: 1,
        messages: 0,
    };
    ensure!(gone == expected, "{gone:?}");
    ensure!(erase(&history, id).await? == Erased::default(), "once more");
    shows_nothing(&history, &story).await?;
    let kept = history.event(&other.account, other.event).await?;
    let kept = kept.context("the other event")?;
    ensure!(!kept.body.is_empty() && kept.tags.len() == 1, "{kept:?}");
    ensure!(kept.deliveries[0].state == "pending", "{kept:?}");
    Ok(())
}

async fn nothing_of_an_erased_event_comes_back(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let (story, other) = (Story::new()?, Story::new()?);
    tell(&history, &story, true).await?;
    let id = mark(&history, &[ErasureMark::event(story.event, story.at)]).await?;
    erase(&history, id).await?;
    // All of it again, the end of its retries too, in one batch with another's.
    let (events, plans) = (
        [story.accepted()?, other.accepted()?],
        [story.plan(0)?, other.plan(0)?],
    );
    let records = [
        story.record(1, true)?,
        story.record(2, false)?,
        other.record(1, false)?,
    ];
    let batch = Batch {
        events: &events,
        plans: &plans,
        records: &records,
    };
    for _ in 0..2 {
        let findings = history.record(batch).await?;
        let told: Vec<EventId> = findings.erased.events.into_iter().collect();
        ensure!(told == [story.event], "{told:?}");
        shows_nothing(&history, &story).await?;
    }
    let stats = history.stats(other.endpoint, None, None).await?;
    ensure!(stats.succeeded == 1, "{stats:?}");
    // Marked before anything of it is recorded.
    let early = Story::new()?;
    mark(&history, &[ErasureMark::event(early.event, early.at)]).await?;
    tell(&history, &early, true).await?;
    ensure!(
        history.event(&early.account, early.event).await?.is_none(),
        "its body was recorded"
    );
    let stats = history.stats(early.endpoint, None, None).await?;
    ensure!(stats.total == 1 && stats.failed == 1, "{stats:?}");
    Ok(())
}

async fn an_accounts_past_goes_and_later_things_stay(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let endpoint = EndpointId::new();
    let start = Timestamp::from_unix_millis(1_747_146_000_000);
    let minute = |n: u32| start.plus(Duration::from_secs(60) * n);
    let stories: Vec<Story> = (0..10)
        .map(|n| Story::of(endpoint, minute(n * 10)))
        .collect::<Result<_>>()?;
    for (n, story) in stories.iter().enumerate() {
        tell(&history, story, n % 2 == 0).await?;
    }
    let account = stories[0].account.clone();
    // In the middle of an hour.
    let before = minute(45);
    let mark_of_account = ErasureMark {
        id: ErasureMark::of_account(&account),
        accepted_before: before,
    };
    mark(&history, &[mark_of_account]).await?;
    let mut gone = Erased::default();
    loop {
        match history.erase_account(&account, before).await? {
            none if none == Erased::default() => break,
            some => gone += some,
        }
    }
    ensure!(
        (gone.events, gone.deliveries, gone.attempts) == (5, 5, 5),
        "{gone:?}"
    );
    let left = |total, succeeded, pending| Stats {
        total,
        succeeded,
        pending,
        retrying: pending,
        ..Stats::default()
    };
    let stats = history.stats(endpoint, None, None).await?;
    ensure!(stats == left(5, 3, 2), "{stats:?}");
    // An early one is told late: nothing of it is recorded, not even a delivery.
    tell(&history, &stories[1], false).await?;
    ensure!(history.stats(endpoint, None, None).await? == stats);
    let filter = EventFilter::default();
    let events = history.events(&account, &filter, None, 100).await?;
    ensure!(events.rows.len() == 5, "{}", events.rows.len());
    ensure!(events.rows.iter().all(|event| event.accepted_at >= before));
    let filter = AttemptFilter::default();
    let attempts = history.attempts(&account, &filter, None, 100).await?;
    ensure!(attempts.rows.len() == 5, "{}", attempts.rows.len());
    Ok(())
}

async fn an_erasure_is_claimed_by_one_and_forgets_its_tag(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let account = Story::new()?.account;
    let scope = ErasureScope::Tag {
        name: "person".to_owned(),
        value: "4711".to_owned(),
    };
    let id = ErasureId::new();
    for _ in 0..2 {
        history.start_erasure(id, &account, &scope, "", NOW).await?;
    }
    ensure!(history.open_erasures().await?.contains(&id));
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let later = NOW.plus(Duration::from_secs(5));
    let claimed = history.claim_erasure(id, first, NOW, later).await?;
    ensure!(claimed.context("it is free")?.scope()? == scope);
    let refused = history.claim_erasure(id, second, NOW, later).await?;
    ensure!(refused.is_none(), "two have it");
    let gone = Erased {
        events: 2,
        ..Erased::default()
    };
    // Without the claim nothing is written.
    history
        .save_erasure(id, second, "x", gone, Some(NOW))
        .await?;
    history.save_erasure(id, first, "y", gone, None).await?;
    history.release_erasures(first).await?;
    let claimed = history.claim_erasure(id, second, NOW, later).await?;
    let claimed = claimed.context("it is free again")?;
    ensure!(
        claimed.progress == "y" && claimed.events == 2,
        "{claimed:?}"
    );
    history
        .save_erasure(id, second, "z", gone, Some(NOW))
        .await?;
    let ended = history
        .erasure(&account, id)
        .await?
        .context("it is shown")?;
    ensure!(ended.events == 4 && ended.ended_at.is_some(), "{ended:?}");
    ensure!(!format!("{ended:?}").contains("4711"), "{ended:?}");
    ensure!(!history.open_erasures().await?.contains(&id));
    Ok(())
}

async fn an_erasure_is_younger_than_the_open_ones_of_its_account(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let (story, other) = (Story::new()?, Story::new()?);
    let (account, event) = (&story.account, ErasureScope::Event(story.event));
    let behind = |seconds| NOW.minus(Duration::from_secs(seconds));
    let deleted = ErasureScope::Endpoint(story.endpoint);
    let endpoints = ErasureId::of_endpoint(story.endpoint);
    history
        .start_erasure(endpoints, account, &deleted, "", behind(9))
        .await?;
    // Each clock is behind the one before.
    let asked = [(ErasureScope::Account, 0), (event.clone(), 1), (event, 2)];
    let mut ids = Vec::new();
    for (scope, seconds) in &asked {
        let id = ErasureId::new();
        let at = behind(*seconds);
        history.start_erasure(id, account, scope, "", at).await?;
        ids.push(id);
    }
    let waits = async |id| history.is_earlier_open(id, account).await;
    ensure!(!waits(ids[0]).await? && waits(ids[1]).await? && waits(ids[2]).await?);
    ensure!(!history.is_earlier_open(ids[2], &other.account).await?);
    let open = history.open_erasures().await?;
    let open: Vec<&ErasureId> = open.iter().filter(|id| ids.contains(id)).collect();
    ensure!(open.iter().copied().eq(&ids), "{open:?}");
    // When the first is done, the second has nothing before it.
    let worker = Uuid::new_v4();
    let until = NOW.plus(Duration::from_secs(5));
    history.claim_erasure(ids[0], worker, NOW, until).await?;
    history
        .save_erasure(ids[0], worker, "", Erased::default(), Some(NOW))
        .await?;
    ensure!(!waits(ids[1]).await? && waits(ids[2]).await?);
    Ok(())
}

/// More than are looked at together.
async fn every_open_erasure_gets_its_turn(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let (many, one) = (Story::new()?, Story::new()?);
    let of_many = std::iter::repeat_n(&many, 70).chain([&one]);
    let mut asked = Vec::new();
    for (story, seconds) in of_many.zip(0..) {
        let (id, at) = (ErasureId::new(), NOW.plus(Duration::from_secs(seconds)));
        let scope = ErasureScope::Event(story.event);
        history
            .start_erasure(id, &story.account, &scope, "", at)
            .await?;
        asked.push(id);
    }
    let last = asked[70];
    let first = history.open_erasures().await?;
    ensure!(!first.contains(&last), "all are looked at together");
    let (worker, until) = (Uuid::new_v4(), NOW.plus(Duration::from_secs(5)));
    for id in first {
        history.claim_erasure(id, worker, NOW, until).await?;
    }
    let next = history.open_erasures().await?;
    ensure!(next.contains(&last), "{next:?}");
    // Whatever was saved of it, an erasure knows from when on to look.
    ensure!(history.earliest_marked(last).await?.is_none());
    let marked = [(2, &one), (1, &many)].map(|(seconds, story)| ErasureMark {
        id: ErasureMark::of_event(story.event),
        accepted_before: NOW.plus(Duration::from_secs(seconds)),
    });
    history.mark_erased(last, &marked, NOW).await?;
    let earliest = history.earliest_marked(last).await?;
    let expected = NOW.plus(Duration::from_millis(999));
    ensure!(earliest == Some(expected), "{earliest:?}");
    // Others count what is open.
    for id in asked {
        history.claim_erasure(id, worker, NOW, until).await?;
        history
            .save_erasure(id, worker, "", Erased::default(), Some(NOW))
            .await?;
    }
    Ok(())
}

async fn what_has_ended_is_forgotten_after_a_while(pool: Pool) -> Result<()> {
    let history = History::new(pool);
    let story = Story::new()?;
    let account = &story.account;
    let (ended, open) = (ErasureId::new(), ErasureId::new());
    let worker = Uuid::new_v4();
    for id in [ended, open] {
        let scope = ErasureScope::Event(story.event);
        history.start_erasure(id, account, &scope, "", NOW).await?;
        let until = NOW.plus(Duration::from_secs(5));
        history.claim_erasure(id, worker, NOW, until).await?;
    }
    let none = Erased::default();
    history
        .save_erasure(ended, worker, "", none, Some(NOW))
        .await?;
    mark(&history, &[ErasureMark::event(story.event, story.at)]).await?;
    let replay = store::NewReplay {
        id: domain::ReplayId::new(),
        account: account.clone(),
        endpoint: story.endpoint,
        status: domain::ReplayStatus::All,
        event_types: Vec::new(),
        after: NOW,
        before: NOW,
        dry_run: true,
        created_at: NOW,
    };
    history.start_replay(&replay).await?;
    history.forget_jobs(NOW, NOW).await?;
    ensure!(
        history.erasure(account, ended).await?.is_some(),
        "too early"
    );
    ensure!(
        history.replay(account, replay.id).await?.is_some(),
        "too early"
    );
    let later = NOW.plus(Duration::from_secs(1));
    history.forget_jobs(later, later).await?;
    ensure!(history.erasure(account, ended).await?.is_none());
    ensure!(history.erasure(account, open).await?.is_some(), "it runs");
    ensure!(history.replay(account, replay.id).await?.is_none());
    // Nothing can tell of it any more; if it did, it would be recorded.
    tell(&history, &story, false).await?;
    ensure!(history.event(account, story.event).await?.is_some());
    Ok(())
}
