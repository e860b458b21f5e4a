//! The scenarios by name.

mod dashboard;
mod drain;
mod fan_out;
mod hanging;
mod history;
mod latency;
mod paced;
mod replay;
mod retries;
mod start;
mod telemetry;
mod waiting;

use std::future::Future;
use std::pin::Pin;

use anyhow::Result;

use crate::options::Options;
use crate::outcome::Outcome;

type Running = Pin<Box<dyn Future<Output = Result<Vec<Outcome>>>>>;

/// A named scenario; it has an outcome for each setup it runs in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(Options) -> Running,
}

/// All of them, in the order in which they are run.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "fan-out-1",
        about: "throughput, one endpoint per event",
        run: |options| Box::pin(fan_out::run(options, &fan_out::ONE)),
    },
    Scenario {
        name: "fan-out-10",
        about: "throughput, ten endpoints per event",
        run: |options| Box::pin(fan_out::run(options, &fan_out::TEN)),
    },
    Scenario {
        name: "fan-out-100",
        about: "throughput, a hundred endpoints per event",
        run: |options| Box::pin(fan_out::run(options, &fan_out::HUNDRED)),
    },
    Scenario {
        name: "latency-50",
        about: "publish to arrival, 50 events a second, open loop",
        run: |options| Box::pin(latency::run(options, &latency::FIFTY)),
    },
    Scenario {
        name: "latency-500",
        about: "publish to arrival, 500 events a second, open loop",
        run: |options| Box::pin(latency::run(options, &latency::FIVE_HUNDRED)),
    },
    Scenario {
        name: "hanging-neighbour",
        about: "one endpoint of ten hangs, and another account",
        run: |options| Box::pin(hanging::neighbour(options)),
    },
    Scenario {
        name: "hanging-crowd",
        about: "500 endpoints of one account hang, beside another account",
        run: |options| Box::pin(hanging::crowd(options)),
    },
    Scenario {
        name: "paced-backlog",
        about: "1,000 events wait for an endpoint with a rate limit of 10",
        run: |options| Box::pin(paced::run(options)),
    },
    Scenario {
        name: "waiting-1m",
        about: "1,000,000 deliveries wait for one endpoint with a rate limit of 10",
        run: |options| Box::pin(waiting::run(options)),
    },
    Scenario {
        name: "retries",
        about: "200,000 retries due in one minute",
        run: |options| Box::pin(retries::run(options)),
    },
    Scenario {
        name: "replay-50k",
        about: "50,000 failed deliveries are sent again beside live events",
        run: |options| Box::pin(replay::run(options)),
    },
    Scenario {
        name: "telemetry-cost",
        about: "CPU with telemetry at 10 % sampling beside CPU without, ten pairs",
        run: |options| Box::pin(telemetry::run(options)),
    },
    Scenario {
        name: "start-100k",
        about: "start-up with 100,000 endpoints",
        run: |options| Box::pin(start::run(options)),
    },
    Scenario {
        name: "drain-1m",
        about: "a backlog of 1,000,000 deliveries",
        run: |options| Box::pin(drain::run(options)),
    },
    Scenario {
        name: "dashboard",
        about: "Message History with 100,000 attempts: first, middle and last page",
        run: |options| Box::pin(dashboard::run(options)),
    },
    Scenario {
        name: "history",
        about: "10,000,000 attempts of 90 days: pages, filters, recording, dropping a day",
        run: |options| Box::pin(history::run(options)),
    },
];
