//! The dispatcher: posts deliveries to endpoints, records every attempt, and
//! schedules the next one.
//!
//! Along the way of a delivery: `intake` takes it from a partition's queue;
//! `deliver` claims it in the `settled` set, waits for a slot (`slots`)
//! and decides (`decide`); `attempt` signs it (`secrets`, `request`)
//! and posts it (`http`). `follow` keeps the settled set complete.
//!
//! Every dispatcher works on every partition. A partition's owner and an
//! endpoint's own queue, pace and breaker belong between `intake` and
//! `deliver`.

mod attempt;
mod decide;
mod deliver;
mod follow;
mod http;
mod intake;
mod metrics;
mod request;
mod role;
#[cfg(test)]
mod samples;
mod secrets;
mod settled;
mod slots;
mod step;
mod withdraw;

pub use role::{Config, Deps, Error, Probe, Role};
