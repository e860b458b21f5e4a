//! What can be said on the command line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

const USAGE: &str = "usage: make soak SOAK=\"[--minutes N] [--events-per-second N] [--seed N]\"";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) duration: Duration,
    pub(crate) events_per_second: u32,
    pub(crate) seed: u64,
}

impl Options {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            duration: Duration::from_secs(30 * 60),
            events_per_second: 200,
            seed: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .with_context(|| format!("{argument} what?"))
            };
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--minutes" => {
                    options.duration = Duration::from_secs(60 * value()?.parse::<u64>()?);
                }
                "--events-per-second" => options.events_per_second = value()?.parse()?,
                "--seed" => options.seed = value()?.parse()?,
                _ => bail!("`{argument}` is not an option\n{USAGE}"),
            }
        }
        ensure!(options.events_per_second > 0, "{USAGE}");
        Ok(options)
    }

    /// The same on a command line, the seed included.
    pub(crate) fn arguments(&self) -> [String; 6] {
        let minutes = self.duration.as_secs() / 60;
        [
            "--minutes".to_owned(),
            minutes.to_string(),
            "--events-per-second".to_owned(),
            self.events_per_second.to_string(),
            "--seed".to_owned(),
            self.seed.to_string(),
        ]
    }
}
