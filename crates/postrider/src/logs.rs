//! Structured logs on stderr; stdout is for results and the ready line.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Config, LogFormat};

/// Libraries whose lines repeat what we log ourselves where we handle it.
const QUIET: &[&str] = &[
    "async_nats=off",
    "sqlx=warn",
    "h2=warn",
    "hyper=warn",
    "tonic=warn",
    "opentelemetry=warn",
];

/// Starts logging as configured. Later calls change nothing.
pub(crate) fn start(config: &Config) {
    let mut filter = EnvFilter::new(QUIET.join(","));
    for directive in config
        .log
        .split(',')
        .filter(|directive| !directive.is_empty())
    {
        // All of them were parsed once already, by the configuration.
        if let Ok(directive) = directive.parse() {
            filter = filter.add_directive(directive);
        }
    }
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter);
    // Fails only if logging was started before.
    let _ = match config.log_format {
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .finish()
            .try_init(),
    };
    log_panics();
}

/// A panic is a line like any other, besides what the default hook prints.
fn log_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "a task panicked: this is a bug");
        default(panic);
    }));
}
