//! The files with which Postrider is deployed: that they render and are valid,
//! that their numbers agree with the program's, and that the roles run with
//! exactly what they say.

mod collector;
mod image;
mod numbers;
mod observability;
mod pods;
mod schemas;
mod settings;
