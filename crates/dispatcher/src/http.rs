//! HTTP to strangers. Every connection goes through [`connect`], the one place
//! that opens sockets, and every exchange has one deadline and a bounded
//! answer.

mod client;
mod connect;
mod failure;
mod proxy;
mod target;

pub(crate) use client::{Answer, Client, Exchange, Settings};
pub use connect::{NoRoots, Way};
pub use proxy::{NotAProxy, Proxy};

#[cfg(test)]
mod tests;
