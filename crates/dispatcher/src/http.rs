//! HTTP to strangers. Every connection goes through [`connect`], the one place
//! that opens sockets, and every exchange has one deadline and a bounded
//! answer.

mod client;
mod connect;
mod failure;
mod resolve;

pub(crate) use client::{Answer, Client, Exchange, Settings};

#[cfg(test)]
mod tests;
