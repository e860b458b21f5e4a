//! The raw limit: the dispatcher's own HTTP client, in a process of its own,
//! posts the same signed body straight to the sink.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use dispatcher::bench::RawSender;
use domain::egress::Policy;
use domain::signature::Secret;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::arrivals::Latencies;
use crate::clock::{Ticks, now_ns};
use crate::sink::Sink;
use crate::{meter, payload};

/// The hidden subcommand under which the program becomes the raw client.
pub(crate) const SUBCOMMAND: &str = "internal-raw";

/// Where it posts to.
const GROUP: &str = "raw";

/// Posts at once when it goes as fast as it can.
const CONNECTIONS: u32 = 64;

/// How long it goes as fast as it can.
const FASTEST_FOR: Duration = Duration::from_secs(3);

/// A post may take so long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the raw client reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fastest {
    pub(crate) per_second: f64,
    /// CPU seconds of the client for 1,000 posts.
    pub(crate) cpu_per_1000: f64,
}

impl Fastest {
    /// The mean of two, one from before and one from behind a measurement: the
    /// machine may have become slower or faster meanwhile.
    pub(crate) fn mean(self, other: Self) -> Self {
        Self {
            per_second: f64::midpoint(self.per_second, other.per_second),
            cpu_per_1000: f64::midpoint(self.cpu_per_1000, other.cpu_per_1000),
        }
    }
}

/// As fast as it can. Forgets what the sink holds, before and after.
///
/// # Errors
///
/// When a post fails.
pub(crate) async fn fastest(sink: &mut Sink) -> Result<Fastest> {
    sink.reset().await?;
    let report = run(sink, &["fastest"]).await?;
    let arrivals = sink.arrivals().await?;
    let count = arrivals.of(GROUP).count();
    let first = arrivals.of(GROUP).map(|one| one.arrived_ns).min();
    let last = arrivals.of(GROUP).map(|one| one.arrived_ns).max();
    sink.reset().await?;
    let (Some(first), Some(last)) = (first, last) else {
        bail!("nothing came from the raw client");
    };
    let seconds = (last - first) as f64 / 1e9;
    let cpu = report["cpu_seconds"].as_f64().context("its CPU time")?;
    Ok(Fastest {
        per_second: count as f64 / seconds,
        cpu_per_1000: cpu * 1_000.0 / count as f64,
    })
}

/// `count` posts at a fixed rate (open loop), and how long each was on its
/// way. Forgets what the sink holds, before and after.
///
/// # Errors
///
/// When a post fails.
pub(crate) async fn paced(sink: &mut Sink, per_second: u32, count: u32) -> Result<Latencies> {
    sink.reset().await?;
    let (rate, number) = (per_second.to_string(), count.to_string());
    run(sink, &["paced", &rate, &number]).await?;
    let latencies = sink.arrivals().await?.latencies(GROUP);
    sink.reset().await?;
    Ok(latencies)
}

async fn run(sink: &Sink, arguments: &[&str]) -> Result<Value> {
    let output = Command::new(std::env::current_exe()?)
        .arg(SUBCOMMAND)
        .arg(sink.url(&format!("{GROUP}/0")))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(300), output).await??;
    ensure!(output.status.success(), "the raw client failed");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(report["failed"] == 0, "raw posts failed: {report}");
    Ok(report)
}

/// The raw client's own process.
///
/// # Errors
///
/// When its arguments are not right or the client cannot be made.
#[expect(clippy::print_stdout, reason = "the report to the parent")]
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let policy = Policy {
        allow_http: true,
        allow_loopback: true,
        ..Policy::default()
    };
    let sender = RawSender::new(policy, Secret::from_random([7; 32]), TIMEOUT)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let failed = match words[..] {
        [url, "fastest"] => runtime.block_on(post_fast(&sender, url)),
        [url, "paced", rate, count] => {
            runtime.block_on(post_paced(&sender, url, rate.parse()?, count.parse()?))
        }
        _ => bail!("the raw client does not know {words:?}"),
    }?;
    let cpu_seconds = meter::cpu_seconds(std::process::id())?;
    println!("{}", json!({"failed": failed, "cpu_seconds": cpu_seconds}));
    Ok(())
}

async fn post_fast(sender: &RawSender, url: &str) -> Result<u32> {
    let failed = Arc::new(AtomicU32::default());
    let end = Instant::now() + FASTEST_FOR;
    let mut tasks = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (sender, url, failed) = (sender.clone(), url.to_owned(), Arc::clone(&failed));
        let body = payload::body(number, now_ns())?;
        tasks.spawn(async move {
            while Instant::now() < end {
                if !sender.post(&url, body.clone()).await {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(failed.load(Ordering::Relaxed))
}

async fn post_paced(sender: &RawSender, url: &str, per_second: u32, count: u32) -> Result<u32> {
    let mut failed = 0;
    let mut tasks = JoinSet::new();
    // A first one, so that there is a connection, as there is in the line.
    failed += u32::from(!sender.post(url, "{}".into()).await);
    let mut ticks = Ticks::start(0, per_second, count);
    while let Some(tick) = ticks.next().await {
        let (sender, url) = (sender.clone(), url.to_owned());
        tasks.spawn(async move {
            let body = payload::body(tick.number, tick.due_ns)?;
            anyhow::Ok(sender.post(&url, body).await)
        });
        while let Some(ended) = tasks.try_join_next() {
            failed += u32::from(!ended??);
        }
    }
    while let Some(ended) = tasks.join_next().await {
        failed += u32::from(!ended??);
    }
    Ok(failed)
}
