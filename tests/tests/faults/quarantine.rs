//! What the database refuses: it is put aside and counted, and the rest goes on.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::{Deployment, Mode};
use harness::receiver::{Answer, Receiver};
use harness::suite::Scenario;
use harness::wait::eventually;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const EVENTS: usize = 10;

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![
        a_record_that_is_refused_takes_nothing_with_it,
        nul_bytes_and_huge_values_are_recorded,
    ]
}

/// Attempts at an address with this in it are refused, whoever records them.
const SQLITE: &str = "CREATE TRIGGER refuse BEFORE INSERT ON attempts \
                      WHEN NEW.url LIKE '%refuse-me%' \
                      BEGIN SELECT RAISE(ABORT, 'it is refused'); END";
const POSTGRES: &str = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                        RAISE EXCEPTION 'it is refused'; END $$; \
                        CREATE TRIGGER refuse BEFORE INSERT ON attempts FOR EACH ROW \
                        WHEN (NEW.url LIKE '%refuse-me%') EXECUTE FUNCTION refuse()";

async fn a_record_that_is_refused_takes_nothing_with_it(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    deployment.in_database(SQLITE, POSTGRES).await?;
    let account = "/v1/accounts/refused";
    let mut stats = Vec::new();
    for path in ["hook", "refuse-me"] {
        let id = api
            .endpoint("refused", &receiver.url(path), &["message.report"])
            .await?;
        stats.push(format!("{account}/endpoints/{id}/stats"));
    }
    // They travel together, and are recorded together.
    let event = json!({"type": "message.report", "object": {}});
    let body = json!({"events": vec![event; EVENTS]});
    api.post(200, &format!("{account}/events/batch"), &body)
        .await?;
    let process = match mode {
        Mode::Standalone => "standalone",
        Mode::Processes | Mode::Overlay => "history",
    };
    eventually(
        "what is good is recorded, the rest counted",
        LIMIT,
        || async {
            let good = api.get(&stats[0]).await?;
            ensure!(good["successful"] == EVENTS, "{good}");
            let refused = api.get(&stats[1]).await?;
            ensure!(refused["total_messages"] == EVENTS, "{refused}");
            let name = "postrider_history_quarantined_total";
            let counted = deployment.metric(process, name).await?;
            ensure!(counted == EVENTS as f64, "{counted} are counted");
            Ok(())
        },
    )
    .await?;
    let dump = deployment.database_dump().await?;
    let noted = dump.matches("it is refused").count();
    ensure!(noted >= EVENTS, "{noted} are noted");
    // The line does not wait for them.
    let later = api.publish("refused", "message.report", &json!({})).await?;
    let path = format!("{account}/events/{later}");
    eventually("later ones are recorded", LIMIT, || async {
        let event = api.get(&path).await?;
        let deliveries = event["deliveries"].as_array().context("deliveries")?;
        let done = deliveries.iter().filter(|one| one["state"] == "succeeded");
        ensure!(deliveries.len() == 2 && done.count() == 1, "{event}");
        Ok(())
    })
    .await?;
    ensure!(
        receiver.received("refuse-me").len() == EVENTS + 1,
        "it is sent once each"
    );
    deployment.all_running()
}

async fn nul_bytes_and_huge_values_are_recorded(mode: Mode) -> Result<()> {
    let deployment = Deployment::start(mode, &[]).await?;
    let receiver = Receiver::start().await?;
    let api = deployment.api();
    let mut huge = vec![0_u8; 1_024 * 1_024];
    huge[1] = 0xff;
    let header = "x".repeat(16 * 1_024);
    let answer = Answer::status(200).body(huge).header("x-long", &header);
    receiver.script("huge", [answer]);
    let id = api
        .endpoint("huge", &receiver.url("huge"), &["message.report"])
        .await?;
    let object = json!({"nul": "\0", "long": "y".repeat(200 * 1_024)});
    let event = api.publish("huge", "message.report", &object).await?;
    let small = api
        .publish("huge", "message.report", &json!({"n": 1}))
        .await?;
    let attempts = eventually("both are recorded", LIMIT, || async {
        let attempts = api.attempts("huge", &id).await?;
        ensure!(attempts.len() == 2, "{}", attempts.len());
        Ok(attempts)
    })
    .await?;
    ensure!(
        attempts.iter().any(|one| one["event_id"] == small),
        "the other"
    );
    for attempt in attempts {
        let id = attempt["id"].as_str().context("an id")?;
        let shown = api.get(&format!("/v1/accounts/huge/attempts/{id}")).await?;
        ensure!(
            shown["status"] == "succeeded",
            "{}",
            shown["failure_message"]
        );
        ensure!(
            shown["response_truncated"] == true,
            "all of the answer is kept"
        );
        ensure!(
            shown["response_body_encoding"] == "base64",
            "NULs are no text"
        );
        ensure!(shown["response_headers"]["x-long"] == header, "the header");
    }
    let shown = api
        .get(&format!("/v1/accounts/huge/events/{event}"))
        .await?;
    let body: Value = serde_json::from_str(shown["body"].as_str().context("a body")?)?;
    ensure!(body["data"]["object"] == object, "the object");
    deployment.all_running()
}
