//! What the process tells about itself, and by which names.
//!
//! - [`metric`]: every instrument, in one table that `docs/reference/metrics.md`
//!   is made from
//! - [`trace`]: the context that work runs in, and its spans
//!
//! Where it is sent to is the binary's affair.

pub mod metric;
pub mod trace;
