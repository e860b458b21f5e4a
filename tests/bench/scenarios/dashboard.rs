//! "Message History" of an endpoint with a long past, as a browser loads it.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use domain::{AccountId, Timestamp};
use harness::past::Past;
use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use serde_json::json;
use store::{Day, History, Pool};

use crate::meter::load_average;
use crate::options::Options;
use crate::outcome::Outcome;
use crate::world::{Setup, World};

const ACCOUNT: &str = "bench";
const ATTEMPTS: u32 = 100_000;
const DAYS: u32 = 30;

/// Of each page.
const SAMPLES: usize = 200;
/// Before they count.
const WARM_UP: usize = 10;

const ROWS: usize = 20;

pub(super) async fn run(options: Options) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for (name, setup) in [
        ("1s", Setup::STANDALONE_1S),
        ("processes", Setup::PROCESSES_1S),
    ] {
        if options.wants(name) {
            outcomes.push(in_setup(&options, setup).await?);
        }
    }
    Ok(outcomes)
}

async fn in_setup(options: &Options, setup: Setup) -> Result<Outcome> {
    let mut outcome = Outcome::new("dashboard", setup.name(), load_average());
    let world = World::start(options, setup, &[]).await?;
    let endpoint = world.endpoint(ACCOUNT, "hook", "message.report", None);
    let endpoint = endpoint.await?.id;
    let past = past(&endpoint, options.scaled(ATTEMPTS))?;
    let history = History::new(Pool::open(&world.deployment.database_url().await?).await?);
    let mut attempts = 0;
    for day in 0..DAYS {
        for chapter in past.chapters(day) {
            let chapter = chapter?;
            history.record(chapter.batch()).await?;
            attempts += chapter.records.len();
        }
    }
    outcome.figure("attempts of the endpoint", attempts as f64, "");

    let visitor = Visitor::sign_in(&world).await?;
    let page = format!("/accounts/{ACCOUNT}/webhooks/{endpoint}/messages");
    let middle = token(&world, &endpoint, past.day(DAYS / 2)).await?;
    let last = token(&world, &endpoint, past.day(0).plus(last_hours(attempts))).await?;
    let pages = [
        ("first page", page.clone()),
        ("middle page", format!("{page}?page={middle}")),
        ("last page", format!("{page}?page={last}")),
    ];
    let mut medians = Vec::new();
    for (name, path) in pages {
        let times = visitor.load(&path).await?;
        let [p50, p99] = [50, 99].map(|part| times[(times.len() - 1) * part / 100]);
        outcome.figure(format!("p50, {name}"), milliseconds(p50), "ms");
        outcome.figure(format!("p99, {name}"), milliseconds(p99), "ms");
        medians.push(milliseconds(p50));
    }
    outcome.figure("p50, last page / first page", medians[2] / medians[0], "");
    outcome.errors(&world.deployment)?;
    Ok(outcome)
}

/// So many attempts of the last days, one delivery in 20 with two.
fn past(endpoint: &str, attempts: u32) -> Result<Past> {
    let today = Day::of(Timestamp::from(SystemTime::now()));
    let start = today.plus(-i64::from(DAYS)).start();
    let per_day = (attempts / DAYS * 20 / 21).max(3 * ROWS as u32);
    let account = AccountId::parse(ACCOUNT)?;
    Ok(Past::of(account, endpoint.parse()?, start, per_day))
}

/// How long the past's first 40 or so attempts took: two pages.
fn last_hours(attempts: usize) -> Duration {
    Duration::from_secs(u64::from(DAYS) * 86_400) * 2 * ROWS as u32 / attempts as u32
}

/// The token of the page that begins 20 attempts before an instant. It is one of
/// the whole list, too.
async fn token(world: &World, endpoint: &str, before: Timestamp) -> Result<String> {
    let before = before.rfc3339();
    let path = format!(
        "/v1/accounts/{ACCOUNT}/endpoints/{endpoint}/attempts?page_size={ROWS}&before={before}"
    );
    let page = world.api.get(&path).await?;
    let token = page["next_page_token"].as_str();
    let token = token.filter(|token| !token.is_empty());
    Ok(token.with_context(|| json!(page).to_string())?.to_owned())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A browser with a session.
struct Visitor {
    client: reqwest::Client,
    base: String,
    cookie: String,
}

impl Visitor {
    async fn sign_in(world: &World) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy();
        let client = client.redirect(Policy::none()).build()?;
        let base = world.deployment.http();
        let answer = client
            .post(format!("{base}/sign-in"))
            .header(ORIGIN, &base)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("key={}", world.api.key()))
            .send()
            .await?;
        let cookie = answer.headers().get(SET_COOKIE).context("a session")?;
        let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
        let cookie = cookie.to_owned();
        Ok(Self {
            client,
            base,
            cookie,
        })
    }

    /// Loads a page again and again; how long it took until all of it was there,
    /// the shortest first.
    async fn load(&self, path: &str) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        for sample in 0..WARM_UP + SAMPLES {
            let asked = Instant::now();
            let request = self.client.get(format!("{}{path}", self.base));
            let answer = request.header(COOKIE, &self.cookie).send().await?;
            let status = answer.status();
            let page = answer.text().await?;
            let took = asked.elapsed();
            let rows = page.matches("data-id=\"").count();
            ensure!(status == 200 && rows > 0, "{path}: {status}, {rows} rows");
            if sample >= WARM_UP {
                times.push(took);
            }
        }
        times.sort_unstable();
        Ok(times)
    }
}
