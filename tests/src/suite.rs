//! Running scenarios against a shared deployment.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::deployment::{Deployment, Mode};
use crate::secrecy;

type Running = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A named scenario.
pub struct Scenario<D> {
    pub name: &'static str,
    pub run: fn(D) -> Running,
}

impl<D> std::fmt::Debug for Scenario<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenario")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Lists async functions as scenarios under their own names.
#[macro_export]
macro_rules! scenarios {
    ($($path:path),+ $(,)?) => {
        vec![$($crate::suite::Scenario {
            name: stringify!($path),
            run: |argument| Box::pin($path(argument)),
        }),+]
    };
}

/// A runtime for the whole test program, with the TLS provider installed.
///
/// # Panics
///
/// When the runtime cannot be made.
#[must_use]
pub fn runtime() -> Arc<Runtime> {
    // Fails only if a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Arc::new(Runtime::new().expect("a runtime can be made"))
}

/// Makes a trial of a scenario.
#[must_use]
pub fn trial<D: Send + 'static>(
    runtime: &Arc<Runtime>,
    prefix: &str,
    scenario: Scenario<D>,
    argument: impl FnOnce() -> Result<D> + Send + 'static,
) -> Trial {
    let runtime = runtime.clone();
    let name = format!("{prefix}::{}", scenario.name.replace(' ', ""));
    Trial::test(name, move || {
        let result = argument().and_then(|argument| runtime.block_on((scenario.run)(argument)));
        result.map_err(|error| Failed::from(in_short(&error)))?;
        let told = secrecy::take();
        match told.is_empty() {
            true => Ok(()),
            false => Err(Failed::from(told.join("\n"))),
        }
    })
}

/// What went wrong and, where cargo was asked for backtraces, the lines of ours
/// that led there: the executor's would hide it.
fn in_short(error: &anyhow::Error) -> String {
    let backtrace = error.backtrace().to_string();
    let ours = |line: &&str| line.contains("/tests/") && line.trim_start().starts_with("at ");
    let lines = backtrace.lines().filter(ours);
    let causes = error.chain().map(ToString::to_string);
    causes
        .chain(lines.map(str::to_owned))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Runs trials. What a deployment that ended late has told fails the program as
/// well.
#[must_use]
pub fn run(arguments: &Arguments, trials: Vec<Trial>) -> ExitCode {
    let conclusion = libtest_mimic::run(arguments, trials);
    match nothing_told() {
        true => conclusion.exit_code(),
        false => ExitCode::FAILURE,
    }
}

/// False if something was told that nobody has been told of.
#[expect(clippy::print_stderr, reason = "this is what the test program reports")]
fn nothing_told() -> bool {
    let told = secrecy::take();
    told.iter().for_each(|one| eprintln!("{one}"));
    told.is_empty()
}

/// Makes trials of scenarios that start a deployment of their own, in a mode.
pub fn in_mode(
    runtime: &Arc<Runtime>,
    mode: Mode,
    scenarios: Vec<Scenario<Mode>>,
) -> impl Iterator<Item = Trial> {
    scenarios
        .into_iter()
        .map(move |scenario| trial(runtime, mode.name(), scenario, move || Ok(mode)))
}

/// The scenarios of a mode.
type Scenarios = fn() -> Vec<Scenario<Arc<Deployment>>>;

/// Runs every scenario in its modes, each mode against one deployment that is
/// started when the first scenario needs it. After the last one, no log may
/// hold an error, nor anything that [`secrecy`] is about.
///
/// # Panics
///
/// When the runtime cannot be made.
#[must_use]
pub fn run_in_modes(
    settings: &'static [(&'static str, &'static str)],
    modes: &[(Mode, Scenarios)],
) -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = runtime();
    let mut trials = Vec::new();
    let mut shared = Vec::new();
    for (mode, scenarios) in modes {
        let deployment = Arc::new(Shared::new(*mode, settings));
        for scenario in scenarios() {
            let (handle, deployment) = (runtime.clone(), deployment.clone());
            trials.push(trial(&runtime, mode.name(), scenario, move || {
                handle.block_on(deployment.get())
            }));
        }
        shared.push(deployment);
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut clean = true;
    for deployment in shared {
        clean &= deployment.finish();
    }
    if clean && nothing_told() {
        conclusion.exit_code()
    } else {
        ExitCode::FAILURE
    }
}

/// A deployment that is started at its first use.
#[derive(Debug)]
struct Shared {
    mode: Mode,
    settings: &'static [(&'static str, &'static str)],
    /// Or why it could not be started: the next scenario need not try again.
    started: tokio::sync::Mutex<Option<Result<Arc<Deployment>, String>>>,
}

impl Shared {
    fn new(mode: Mode, settings: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            mode,
            settings,
            started: tokio::sync::Mutex::default(),
        }
    }

    async fn get(&self) -> Result<Arc<Deployment>> {
        let mut started = self.started.lock().await;
        if started.is_none() {
            let deployment = Deployment::start(self.mode, self.settings).await;
            *started = Some(
                deployment
                    .map(Arc::new)
                    .map_err(|error| format!("{error:?}")),
            );
        }
        let deployment = started.as_ref().context("it was just set")?;
        deployment.clone().map_err(|error| anyhow!(error))
    }

    /// Drops the deployment; false if its logs hold errors or secrets.
    #[expect(clippy::print_stderr, reason = "this is what the test program reports")]
    fn finish(&self) -> bool {
        let Some(Ok(deployment)) = self.started.blocking_lock().take() else {
            return true;
        };
        let wrong = deployment.errors_logged().and_then(|mut errors| {
            errors.extend(deployment.secrets_told()?);
            Ok(errors)
        });
        match wrong {
            Ok(errors) if errors.is_empty() => true,
            Ok(errors) => {
                eprintln!(
                    "{}: what the logs must not hold:\n{}",
                    self.mode.name(),
                    errors.join("\n")
                );
                false
            }
            Err(error) => {
                eprintln!("{}: logs cannot be read: {error:#}", self.mode.name());
                false
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn tells_a_secret(_: ()) -> Result<()> {
        secrecy::leave(vec!["control.log tells a key".to_owned()]);
        Ok(())
    }

    #[test]
    fn a_trial_whose_deployment_told_a_secret_fails() {
        let arguments = Arguments {
            test_threads: Some(1),
            // It fails on purpose, and nobody need read that.
            logfile: Some("/dev/null".to_owned()),
            ..Arguments::default()
        };
        let scenario = crate::scenarios![tells_a_secret].remove(0);
        let trials = vec![trial(&runtime(), "one", scenario, || Ok(()))];
        let conclusion = libtest_mimic::run(&arguments, trials);
        assert_eq!((conclusion.num_failed, conclusion.num_passed), (1, 0));
        secrecy::leave(vec!["nats.log tells a key".to_owned()]);
        assert_eq!(run(&arguments, Vec::new()), ExitCode::FAILURE);
        assert_eq!(run(&arguments, Vec::new()), ExitCode::SUCCESS);
    }
}
