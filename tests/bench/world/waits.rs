//! Waiting until everything has arrived or been recorded.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Endpoint, World};

/// Nothing may stand still for longer than this.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_FOR_ALL: Duration = Duration::from_secs(600);
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

impl World {
    /// Waits until so many requests have come to the group since the last
    /// reset. False if the last ones did not come although none came for long.
    ///
    /// # Errors
    ///
    /// When the sink or a process has ended.
    pub(crate) async fn arrived(&mut self, group: &str, count: usize) -> Result<bool> {
        self.arrived_within(group, count, Duration::MAX).await
    }

    /// The same, but for no longer than `limit`.
    ///
    /// # Errors
    ///
    /// When the sink or a process has ended.
    pub(crate) async fn arrived_within(
        &mut self,
        group: &str,
        count: usize,
        limit: Duration,
    ) -> Result<bool> {
        let started = Instant::now();
        let mut before = 0;
        let mut changed = Instant::now();
        loop {
            let now = self.sink.count(group).await?;
            if now >= count {
                return Ok(true);
            }
            if now > before {
                (before, changed) = (now, Instant::now());
            }
            if changed.elapsed() > PATIENCE || started.elapsed() > limit {
                self.deployment.all_running()?;
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until history has recorded so many successes for each endpoint, and the
    /// plans of as many events, since the start. False if it stands still before.
    ///
    /// # Errors
    ///
    /// When history does not answer.
    pub(crate) async fn recorded(&self, endpoints: &[Endpoint], successes: u64) -> Result<bool> {
        Ok(self.counted(endpoints, "successful", successes).await?
            && self.planned(successes).await?)
    }

    /// Waits until so many plans are recorded. False if it takes long.
    async fn planned(&self, events: u64) -> Result<bool> {
        const PLANS: &str = "postrider_history_recorded_total{kind=\"plan\"}";
        let started = Instant::now();
        while self.deployment.metric("history", PLANS).await? < events as f64 {
            if started.elapsed() > PATIENCE {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(true)
    }

    /// Waits until no consumer of the roles has anything left to do, operational events
    /// included. False if it takes long.
    ///
    /// # Errors
    ///
    /// When control does not answer.
    pub(crate) async fn quiet(&self) -> Result<bool> {
        // Control looks every few seconds.
        const LOOKS: u32 = 3;
        let started = Instant::now();
        let mut quiet = 0;
        while quiet < LOOKS {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            let looked = self
                .deployment
                .metric("control", "postrider_stream_messages");
            ensure!(looked.await? > 0.0, "control has not looked at the streams");
            let mut left = 0.0;
            for gauge in ["postrider_consumer_pending", "postrider_consumer_unacked"] {
                left += self.deployment.metric("control", gauge).await?;
            }
            quiet = if left > 0.0 { 0 } else { quiet + 1 };
            if started.elapsed() > PATIENCE_FOR_ALL {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until a count of each endpoint's stats has come to so many. False
    /// if it stands still before.
    ///
    /// # Errors
    ///
    /// When history does not answer.
    pub(crate) async fn counted(
        &self,
        endpoints: &[Endpoint],
        name: &str,
        count: u64,
    ) -> Result<bool> {
        for endpoint in endpoints {
            let mut before = 0;
            let mut changed = Instant::now();
            loop {
                let now = self.stat(endpoint, name).await?;
                if now >= count {
                    break;
                }
                if now > before {
                    (before, changed) = (now, Instant::now());
                }
                if changed.elapsed() > PATIENCE {
                    self.deployment.all_running()?;
                    return Ok(false);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(true)
    }

    async fn stat(&self, endpoint: &Endpoint, name: &str) -> Result<u64> {
        let Endpoint { account, id } = endpoint;
        let call = format!("/v1/accounts/{account}/endpoints/{id}/stats");
        let stats = self.api.get(&call).await?;
        stats[name].as_u64().context("a number")
    }
}
