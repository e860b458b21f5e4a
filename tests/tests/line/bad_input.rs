//! Bad input over REST: each case gets the right status, a code, the names of
//! the fields at fault and a sentence that says what to do, and nothing of it is
//! stored.

mod bodies;
mod callers;
mod calls;
mod endpoints;
mod event_types;
mod events;
mod keys;
mod stored;
mod urls;
mod world;

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use harness::deployment::{Deployment, Mode};
use harness::suite::Scenario;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use stored::Stored;
use world::World;

/// The issue asks for so many.
const AT_LEAST: usize = 60;

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        bad_input_is_explained_and_not_stored,
        plain_http_and_loopback_are_refused_unless_allowed,
        bodies::a_refusal_reaches_who_sends_everything_first,
    ]
}

/// One call and how it must be refused.
struct Case {
    what: String,
    request: RequestBuilder,
    status: u16,
    code: &'static str,
    /// The fields at fault, separated by spaces.
    fields: &'static str,
}

fn case(
    what: impl Into<String>,
    request: RequestBuilder,
    status: u16,
    code: &'static str,
    fields: &'static str,
) -> Case {
    Case {
        what: what.into(),
        request,
        status,
        code,
        fields,
    }
}

async fn bad_input_is_explained_and_not_stored(deployment: Arc<Deployment>) -> Result<()> {
    let world = World::make(&deployment).await?;
    let before = Stored::read(&world).await?;
    let mut cases = bodies::cases(&world);
    cases.extend(urls::cases(&world));
    cases.extend(event_types::cases(&world));
    cases.extend(endpoints::cases(&world));
    cases.extend(events::cases(&world));
    cases.extend(keys::cases(&world));
    cases.extend(calls::cases(&world));
    cases.extend(callers::cases(&world));
    ensure!(cases.len() >= AT_LEAST, "{} cases", cases.len());
    let refused = refuses_all(cases).await;
    before.is_unchanged(&world).await.and(refused)
}

/// Sends each case and reports all that were answered in another way.
async fn refuses_all(cases: Vec<Case>) -> Result<()> {
    let mut wrong = Vec::new();
    for case in cases {
        let what = case.what.clone();
        if let Err(error) = refuses(case).await {
            wrong.push(format!("{what}: {error:#}"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{} cases:\n{}", wrong.len(), wrong.join("\n"))
}

async fn refuses(case: Case) -> Result<()> {
    let response = case.request.send().await?;
    let status = response.status();
    let header = |name| {
        let value = response.headers().get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let (kind, challenge) = (header("content-type"), header("www-authenticate"));
    let text = response.text().await?;
    ensure!(status == case.status, "{status}: {text}");
    ensure!(kind == "application/problem+json", "{kind}: {text}");
    ensure!(
        (challenge == "Bearer") == (status == 401),
        "www-authenticate: {challenge:?}"
    );

    let problem: Value = serde_json::from_str(&text)?;
    ensure!(problem["status"] == case.status, "{problem}");
    ensure!(problem["code"] == case.code, "{problem}");
    let kind = problem["type"].as_str().context("a type")?;
    ensure!(kind.starts_with("https://"), "{problem}");
    let title = problem["title"].as_str().context("a title")?;
    ensure!(title.len() >= 10, "{problem}");
    is_a_helpful_sentence(problem["detail"].as_str().context("a detail")?)?;
    let errors = problem["errors"].as_array().context("errors")?;
    let mut fields = Vec::new();
    for error in errors {
        fields.push(error["field"].as_str().context("a field")?);
        let message = error["message"].as_str().context("a message")?;
        ensure!(message.contains(' '), "{problem}");
    }
    ensure!(fields.join(" ") == case.fields, "{problem}");
    Ok(())
}

/// Long enough to say what is wrong and what to do, short enough to be read,
/// and in the caller's words.
pub(crate) fn is_a_helpful_sentence(text: &str) -> Result<()> {
    let words = text.split_whitespace().count();
    ensure!(words >= 3, "no sentence: {text:?}");
    ensure!(
        (20..=500).contains(&text.len()),
        "too short or long: {text:?}"
    );
    ensure!(
        !text.chars().any(char::is_control),
        "control characters: {text:?}"
    );
    // Words of the libraries that we read with.
    for inside in [
        "sqlx",
        "serde",
        "RawValue",
        "panicked",
        "tonic",
        "Err(",
        "invalid type",
        "expected ",
        "EOF ",
        "at line ",
        "trailing ",
        "invalid digit",
        "decod",
        "wire type",
    ] {
        ensure!(
            !text.contains(inside),
            "{inside} is ours, not the caller's: {text:?}"
        );
    }
    Ok(())
}

/// What the tests' other deployments allow is off unless an operator turns it
/// on.
async fn plain_http_and_loopback_are_refused_unless_allowed(
    deployment: Arc<Deployment>,
) -> Result<()> {
    if deployment.mode() == Mode::Standalone {
        // The tests run it with --dev, which is there to allow both.
        return Ok(());
    }
    let settings = [
        ("POSTRIDER_EGRESS_ALLOW", ""),
        ("POSTRIDER_EGRESS_ALLOW_HTTP", "false"),
    ];
    let strict = Deployment::start(Mode::Processes, &settings).await?;
    let api = strict.api();
    let path = "/v1/accounts/strict/endpoints";
    let urls = [
        "http://1.1.1.1/",
        "http://hooks.example.com/",
        "http://127.0.0.1:9000/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://localhost/",
        "https://a.localhost:8443/",
    ];
    let cases = urls.map(|url| {
        let body = json!({"url": url, "description": "a test", "event_types": ["message.report"]});
        let request = api.request(reqwest::Method::POST, path).json(&body);
        case(url, request, 422, "URL_INVALID", "url")
    });
    refuses_all(cases.into()).await?;
    let listed = api.get(path).await?;
    ensure!(listed["endpoints"] == json!([]), "{listed}");
    let good = api.endpoint("strict", "https://1.1.1.1/", &["message.report"]);
    good.await?;
    ensure!(
        strict.errors_logged()?.is_empty(),
        "{:?}",
        strict.errors_logged()?
    );
    Ok(())
}
