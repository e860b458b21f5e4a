//! Waiting for something to become true, with a bound.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Asks `probe` every 50 ms until it answers `Ok`; after `limit` the last
/// error is the result.
///
/// # Errors
///
/// The probe's last error, with `what` and the limit.
pub async fn eventually<T, F, Fut>(what: &str, limit: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let started = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(error) if started.elapsed() > limit => {
                return Err(error)
                    .with_context(|| format!("{what}: not so within {} s", limit.as_secs_f64()));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Holds for as long as `limit`: the first `Err` of `probe` is the result.
///
/// # Errors
///
/// The probe's error, with `what`.
pub async fn throughout<F, Fut>(what: &str, limit: Duration, mut probe: F) -> Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Err(error) = probe().await {
            bail!(
                "{what}: no longer so after {:?}: {error:#}",
                started.elapsed()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
