//! The command line as people and scripts use it.

mod refused;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::Api;
use harness::deployment::Deployment;
use harness::receiver::{Answer, Receiver};
use harness::shell::{self, Shell};
use harness::suite::Scenario;
use harness::wait::eventually;
use reqwest::Method;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);
/// What a shell says of a process that Ctrl-C has ended.
const INTERRUPTED: Option<i32> = Some(130);

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    let mut scenarios = harness::scenarios![
        a_list_finds_what_the_api_finds,
        a_list_is_paged_both_ways,
        stats_of_an_account_add_up,
        a_tail_goes_on_from_the_cursor_that_the_last_one_named,
        an_interrupted_wait_says_how_to_go_on,
    ];
    scenarios.extend(refused::scenarios());
    scenarios
}

/// Two endpoints, of which the second fails at once and for good, and two events;
/// Postrider adds a `delivery.exhausted`, which nobody gets.
struct World {
    account: &'static str,
    good: String,
    bad: String,
    /// Went to both, and has the tag person=4711.
    tagged: String,
    /// Went to the first.
    untagged: String,
}

impl World {
    async fn make(api: &Api, receiver: &Receiver, account: &'static str) -> Result<Self> {
        receiver.script("bad", [Answer::status(500)]);
        let good = api
            .endpoint(
                account,
                &receiver.url("good"),
                &["message.report", "form.submitted"],
            )
            .await?;
        let path = format!("/v1/accounts/{account}");
        let body = json!({"url": receiver.url("bad"), "description": "a test",
            "retry_schedule": [], "event_types": ["message.report"]});
        let bad = api.post(201, &format!("{path}/endpoints"), &body).await?;
        let body = json!({"type": "message.report", "object": {}, "tags": {"person": "4711"}});
        let tagged = api.post(202, &format!("{path}/events"), &body).await?;
        let untagged = api.publish(account, "form.submitted", &json!({})).await?;
        eventually("all is recorded", LIMIT, || async {
            for items in ["attempts", "events"] {
                let listed = api.get(&format!("{path}/{items}")).await?;
                let count = listed[items].as_array().map(Vec::len);
                ensure!(count == Some(3), "{listed}");
            }
            Ok(())
        })
        .await?;
        Ok(Self {
            account,
            good,
            bad: text(&bad["id"])?,
            tagged: text(&tagged["id"])?,
            untagged,
        })
    }

    async fn list(&self, deployment: &Deployment, filters: &[&str]) -> Result<Value> {
        let list = ["history", "list", "--account", self.account];
        shell::json(deployment, &[&list, filters].concat()).await
    }
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("a text")?.to_owned())
}

async fn a_list_finds_what_the_api_finds(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let world = World::make(&api, &receiver, "shell-list").await?;
    let World {
        good, bad, tagged, ..
    } = &world;
    let base = format!("/v1/accounts/{}", world.account);
    let event = api.get(&format!("{base}/events/{tagged}")).await?;
    let untagged = format!("{base}/events/{}", world.untagged);
    let trace = text(&api.get(&untagged).await?["trace_id"])?;
    let delivery = text(&event["deliveries"][0]["id"])?;
    let cases: [(&[&str], String, &str, usize); 13] = [
        (&[], "events?".to_owned(), "events", 3),
        (
            &["--tag", "person=4711"],
            "events?tag=person%3D4711".to_owned(),
            "events",
            1,
        ),
        (
            &["--trace-id", &trace],
            format!("events?trace_id={trace}"),
            "events",
            1,
        ),
        (
            &["-t", "form.submitted"],
            "events?event_type=form.submitted".to_owned(),
            "events",
            1,
        ),
        (
            &["--before", "2020-01-01"],
            "events?before=2020-01-01T00:00:00Z".to_owned(),
            "events",
            0,
        ),
        (&["--attempts"], "attempts?".to_owned(), "attempts", 3),
        (
            &["--status", "failed"],
            "attempts?status=failed".to_owned(),
            "attempts",
            1,
        ),
        (
            &["--event-id", tagged],
            format!("attempts?event_id={tagged}"),
            "attempts",
            2,
        ),
        (
            &["--delivery-id", &delivery],
            format!("attempts?delivery_id={delivery}"),
            "attempts",
            1,
        ),
        (
            &["--response-status", "500"],
            "attempts?response_status=500".to_owned(),
            "attempts",
            1,
        ),
        (
            &["--failure-class", "http_status"],
            "attempts?failure_class=http_status".to_owned(),
            "attempts",
            1,
        ),
        (
            &["--endpoint", good],
            format!("endpoints/{good}/attempts?"),
            "attempts",
            2,
        ),
        (
            &[
                "--endpoint",
                bad,
                "--response-status",
                "500",
                "--after",
                "1d",
            ],
            format!("endpoints/{bad}/attempts?response_status=500"),
            "attempts",
            1,
        ),
    ];
    for (filters, path, items, count) in cases {
        let told = world.list(&deployment, filters).await?;
        let expected = api.get(&format!("{base}/{path}")).await?;
        ensure!(
            told[items] == expected[items],
            "{filters:?}: {told}, not {expected}"
        );
        let found = told[items].as_array().map(Vec::len);
        ensure!(found == Some(count), "{filters:?}: {told}");
    }
    let list = ["history", "list", "--account", world.account];
    let told = shell::succeed(&deployment, &[&list[..], &["--attempts"]].concat()).await?;
    for part in ["ENDPOINT", good, bad] {
        ensure!(told.contains(part), "{part} is not in\n{told}");
    }
    let both = [&list[..], &["--tag", "person=4711", "--status", "failed"]].concat();
    let told = shell::run(&deployment, &both).await?;
    ensure!(
        told.code == Some(64) && told.stderr.contains("--status"),
        "{told:?}"
    );
    Ok(())
}

async fn a_list_is_paged_both_ways(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let world = World::make(&deployment.api(), &receiver, "shell-pages").await?;
    let first_endpoint = ["-e", &world.good, "--page-size", "1"];
    let list = [
        &["history", "list", "-a", world.account],
        &first_endpoint[..],
    ]
    .concat();
    let beside = |told: &str, which: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(which));
        let token = line.map(|line| line.trim_start_matches(": --page-token ").to_owned());
        token.with_context(|| format!("{which} is not in\n{told}"))
    };
    let first = shell::succeed(&deployment, &list).await?;
    ensure!(beside(&first, "newer").is_err(), "{first}");
    let older = beside(&first, "older")?;
    let page = [&list[..], &["--page-token", &older]].concat();
    let second = shell::succeed(&deployment, &page).await?;
    ensure!(
        !second.lines().take(2).eq(first.lines().take(2)),
        "{second}"
    );
    ensure!(beside(&second, "older").is_err(), "{second}");
    let newer = beside(&second, "newer")?;
    let page = [&list[..], &["--page-token", &newer]].concat();
    let again = shell::succeed(&deployment, &page).await?;
    ensure!(
        again.lines().take(2).eq(first.lines().take(2)),
        "{again}\nis not\n{first}"
    );
    Ok(())
}

async fn stats_of_an_account_add_up(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let world = World::make(&deployment.api(), &receiver, "shell-stats").await?;
    let stats = ["history", "stats", "--account", world.account];
    let told = eventually("all have ended", LIMIT, || async {
        let told = shell::json(&deployment, &stats).await?;
        ensure!(told["total"]["pending"] == 0, "{told}");
        Ok(told)
    })
    .await?;
    let counts =
        ["total_messages", "successful", "failed"].map(|name| told["total"][name].as_u64());
    ensure!(counts == [Some(3), Some(2), Some(1)], "{told}");
    ensure!(
        told["endpoints"].as_array().map(Vec::len) == Some(2),
        "{told}"
    );
    let one = [&stats[..], &["--endpoint", &world.good, "--after", "1h"]].concat();
    let told = shell::json(&deployment, &one).await?;
    ensure!(
        told["successful"] == 2 && told["success_rate"] == 1.0,
        "{told}"
    );
    let long_ago = [&stats[..], &["--before", "2020-01-01"]].concat();
    let told = shell::json(&deployment, &long_ago).await?;
    ensure!(told["total"]["total_messages"] == 0, "{told}");
    let told = shell::succeed(&deployment, &stats).await?;
    for part in [&world.good, &world.bad, "all", "66.67 %"] {
        ensure!(told.contains(part), "{part} is not in\n{told}");
    }
    Ok(())
}

async fn a_tail_goes_on_from_the_cursor_that_the_last_one_named(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "shell-tail";
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    let tail = ["history", "tail", "--account", account];
    let first = Shell::start(&deployment, &[&tail[..], &["--json"]].concat())?;
    // It says nothing when it begins.
    eventually("it shows an attempt", LIMIT, || async {
        api.publish(account, "message.report", &json!({})).await?;
        ensure!(!first.stdout()?.is_empty(), "{}", first.stderr()?);
        Ok(())
    })
    .await?;
    first.interrupt()?;
    let told = first.ended(LIMIT).await?;
    ensure!(told.code == INTERRUPTED, "{told:?}");
    let last = told.stdout.lines().last().context("an attempt")?;
    let cursor = text(&serde_json::from_str::<Value>(last)?["cursor"])?;
    let advice = format!("postrider history tail --account {account} --cursor {cursor}");
    ensure!(told.stderr.contains(&advice), "{told:?}");

    let missed = api.publish(account, "message.report", &json!({})).await?;
    let path = format!("/v1/accounts/{account}/attempts?event_id={missed}");
    eventually("it is recorded while nobody looks", LIMIT, || async {
        let listed = api.get(&path).await?;
        ensure!(
            listed["attempts"].as_array().map(Vec::len) == Some(1),
            "{listed}"
        );
        Ok(())
    })
    .await?;
    let second = Shell::start(&deployment, &[&tail[..], &["--cursor", &cursor]].concat())?;
    eventually("it goes on where the first stood", LIMIT, || async {
        let told = second.stdout()?;
        let line = told.lines().find(|line| line.contains(&missed));
        let line = line.with_context(|| format!("{told}{:?}", second.stderr()))?;
        ensure!(line.contains(&endpoint), "{line}");
        ensure!(
            told.starts_with("STARTED AT") && told.contains("ENDPOINT"),
            "{told}"
        );
        Ok(())
    })
    .await?;
    second.interrupt()?;
    ensure!(second.ended(LIMIT).await?.code == INTERRUPTED);
    let wrong = shell::run(&deployment, &[&tail[..], &["--cursor", "x"]].concat()).await?;
    ensure!(
        wrong.code == Some(1) && wrong.stderr.contains("cursor"),
        "{wrong:?}"
    );
    Ok(())
}

async fn an_interrupted_wait_says_how_to_go_on(deployment: Arc<Deployment>) -> Result<()> {
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let account = "shell-interrupted";
    let endpoint = api
        .endpoint(account, &receiver.url("hook"), &["message.report"])
        .await?;
    for n in 0..20 {
        api.publish(account, "message.report", &json!({"n": n}))
            .await?;
    }
    let path = format!("/v1/accounts/{account}/endpoints/{endpoint}");
    eventually("all are recorded", LIMIT, || async {
        let stats = api.get(&format!("{path}/stats")).await?;
        ensure!(stats["successful"] == 20, "{stats}");
        Ok(())
    })
    .await?;
    let slow = json!({"rate_limit": 1});
    api.expect(200, Method::PATCH, &path, Some(&slow)).await?;
    let replay = [
        "replay", "-a", account, "-e", &endpoint, "--status", "all", "--after", "1h",
    ];
    let waits = Shell::start(&deployment, &replay)?;
    receiver.wait_for("hook", 21, LIMIT).await?;
    waits.interrupt()?;
    let told = waits.ended(LIMIT).await?;
    ensure!(
        told.code == INTERRUPTED && told.stdout.is_empty(),
        "{told:?}"
    );
    let id = told
        .stderr
        .split_whitespace()
        .find(|word| word.starts_with("rpl_"));
    let id = id.with_context(|| told.stderr.clone())?;
    for advice in [
        format!("{id} goes on in the server"),
        format!("postrider replay --account {account} --show {id}"),
        format!("postrider replay --account {account} --cancel {id}"),
    ] {
        ensure!(told.stderr.contains(&advice), "{advice} is not in {told:?}");
    }
    let show = ["replay", "-a", account, "--show", id];
    let shown = shell::json(&deployment, &show).await?;
    ensure!(shown["state"] == "running", "{shown}");
    let cancel = ["replay", "-a", account, "--cancel", id];
    let cancelled = shell::json(&deployment, &cancel).await?;
    ensure!(cancelled["state"] == "cancelled", "{cancelled}");
    Ok(())
}
