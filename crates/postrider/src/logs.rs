//! Structured logs on stderr; stdout is for results and the ready line.

mod json;

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{Directive, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

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

/// What is logged, to be looked at and changed while the process runs. Cheap
/// to clone.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Logs {
    /// Starts logging as configured. Later calls change nothing.
    pub(crate) fn start(config: &Config) -> Self {
        // It was parsed once already, by the configuration.
        let filter = filter(&config.log).unwrap_or_default();
        let (filter, handle) = reload::Layer::new(filter);
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let lines = match config.log_format {
            LogFormat::Json => lines.event_format(json::Lines).boxed(),
            LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        };
        let subscriber = tracing_subscriber::registry().with(filter).with(lines);
        // Fails only if logging was started before.
        let _ = subscriber.try_init();
        log_panics();
        Self { filter: handle }
    }

    /// Of a subscriber that nothing is logged to.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        let layer = reload::Layer::new(EnvFilter::new("info"));
        // As long as the process lives, as a subscriber would.
        let (layer, handle) = layer;
        Box::leak(Box::new(layer));
        Self { filter: handle }
    }

    /// The directives that hold now.
    pub(crate) fn directives(&self) -> String {
        let current = self.filter.with_current(ToString::to_string);
        // The subscriber lives as long as the process.
        current.unwrap_or_default()
    }

    /// Logs by other directives from now on, e.g. `info,dispatcher=debug`.
    ///
    /// # Errors
    ///
    /// When they are none.
    pub(crate) fn set(&self, directives: &str) -> Result<(), ParseError> {
        let filter = filter(directives)?;
        // As above.
        let _ = self.filter.reload(filter);
        tracing::info!(directives, "the log's level was changed");
        Ok(())
    }
}

/// Libraries are quiet unless the directives name them.
fn filter(directives: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::new(QUIET.join(","));
    for directive in directives.split(',').map(str::trim) {
        if !directive.is_empty() {
            filter = filter.add_directive(directive.parse::<Directive>()?);
        }
    }
    Ok(filter)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_directive_is_refused_and_changes_nothing() {
        let (_layer, filter) = reload::Layer::new(filter("info").unwrap());
        let logs = Logs { filter };
        logs.set("warn,dispatcher=debug").unwrap();
        let now = logs.directives();
        assert!(
            now.contains("dispatcher=debug") && now.contains("async_nats=off"),
            "{now}"
        );
        assert!(logs.set("dispatcher=loud").is_err());
        assert!(logs.set("dispatcher=everything").is_err());
        assert_eq!(logs.directives(), now);
    }
}
