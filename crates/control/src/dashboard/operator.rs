//! The operator's own pages.
//!
//! - [`accounts`]: the way to each account
//! - [`fleet`]: what fails or is behind, in all of them
//! - [`keys`]: who may call the API

pub(super) mod accounts;
pub(super) mod fleet;
pub(super) mod keys;
