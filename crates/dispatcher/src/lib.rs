//! The dispatcher: posts deliveries to endpoints, records every attempt, and
//! schedules the next one.
//!
//! Along the way of a delivery: `ownership` decides which partitions are this
//! process's; `partition` takes their deliveries in; the `conductor` lets the
//! `lanes`, one per endpoint, decide what is sent when; `deliver` makes an
//! `attempt`, records it and schedules the next one.
//!
//! The lanes and what they are made of (`lane`, `backlog`, `settled`, `share`)
//! do no I/O: what happened goes in, what to do comes out.

mod attempt;
mod backlog;
#[cfg(feature = "bench")]
pub mod bench;
mod conductor;
mod decide;
mod deliver;
mod http;
mod item;
mod lane;
mod lanes;
mod lease;
mod metrics;
mod ownership;
mod partition;
mod request;
mod role;
#[cfg(test)]
mod samples;
mod secrets;
mod settled;
mod share;
mod spans;
mod step;
mod withdraw;

pub use http::{NoRoots, NotAProxy, Proxy, Way};
pub use role::{Config, Deps, Error, Probe, Role};
