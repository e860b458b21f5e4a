//! A deployment with a sink, endpoints and publishers.

mod waits;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use harness::api::Api;
use harness::deployment::{Deployment, Mode};
use serde_json::json;

use crate::options::Options;
use crate::perf::Perf;
use crate::publish::Publisher;
use crate::sink::Sink;

/// How a scenario is deployed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) mode: Mode,
    /// `POSTRIDER_NATS_SYNC`.
    pub(crate) sync: &'static str,
}

impl Setup {
    pub(crate) const STANDALONE_1S: Self = Self {
        mode: Mode::Standalone,
        sync: "1s",
    };
    pub(crate) const STANDALONE_ALWAYS: Self = Self {
        mode: Mode::Standalone,
        sync: "always",
    };
    pub(crate) const PROCESSES_1S: Self = Self {
        mode: Mode::Processes,
        sync: "1s",
    };
    pub(crate) const PROCESSES_ALWAYS: Self = Self {
        mode: Mode::Processes,
        sync: "always",
    };

    /// As it stands in tables.
    pub(crate) fn name(&self) -> String {
        let mode = match self.mode {
            Mode::Standalone => "standalone, SQLite",
            Mode::Processes => "five processes, PostgreSQL",
            Mode::Overlay => "five processes, PostgreSQL, three nats-servers",
        };
        format!("{mode}, sync {}", self.sync)
    }
}

/// An endpoint of the sink.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) account: String,
    pub(crate) id: String,
}

/// What one scenario works with. All of it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sink: Sink,
    pub(crate) api: Api,
    pub(crate) deployment: Deployment,
    perf: bool,
}

impl World {
    /// Starts it all. `settings` are Postrider's, on top of the setup's.
    ///
    /// # Errors
    ///
    /// When a part does not start.
    pub(crate) async fn start(
        options: &Options,
        setup: Setup,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let mut all = vec![("POSTRIDER_NATS_SYNC", setup.sync)];
        all.extend(settings);
        let sink = Sink::start().await?;
        let deployment = Deployment::start(setup.mode, &all).await?;
        Ok(Self {
            sink,
            api: deployment.api(),
            deployment,
            perf: options.perf,
        })
    }

    /// Registers an endpoint at the sink's `path`.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub(crate) async fn endpoint(
        &self,
        account: &str,
        path: &str,
        event_type: &str,
        rate_limit: Option<u32>,
    ) -> Result<Endpoint> {
        let body = json!({
            "url": self.sink.url(path),
            "description": path,
            "event_types": [event_type],
            "rate_limit": rate_limit,
        });
        let call = format!("/v1/accounts/{account}/endpoints");
        let endpoint = self.api.post(201, &call, &body).await?;
        Ok(Endpoint {
            account: account.to_owned(),
            id: endpoint["id"].as_str().context("an id")?.to_owned(),
        })
    }

    /// Registers `count` endpoints at `<group>/<number>`.
    ///
    /// # Errors
    ///
    /// When one is refused.
    pub(crate) async fn endpoints(
        &self,
        account: &str,
        group: &str,
        event_type: &str,
        count: u32,
    ) -> Result<Vec<Endpoint>> {
        let mut endpoints = Vec::new();
        for number in 0..count {
            let path = format!("{group}/{number}");
            endpoints.push(self.endpoint(account, &path, event_type, None).await?);
        }
        Ok(endpoints)
    }

    /// The publisher of an account's events of these types.
    ///
    /// # Errors
    ///
    /// When its address is not valid.
    pub(crate) async fn publisher(
        &self,
        account: &str,
        event_types: &[String],
    ) -> Result<Publisher> {
        let url = self.deployment.grpc("ingest");
        Publisher::new(&url, self.api.key(), account, event_types).await
    }

    /// Publishes some events of the publisher's and waits until they are all
    /// recorded, so that connections are open and caches filled.
    ///
    /// # Errors
    ///
    /// When they are not delivered.
    pub(crate) async fn warm_up(
        &mut self,
        publisher: &Publisher,
        group: &str,
        endpoints: &[Endpoint],
    ) -> Result<()> {
        publisher.burst(WARM_UP).await?;
        let count = WARM_UP as usize * endpoints.len();
        if !self.arrived(group, count).await? || !self.recorded(endpoints, WARM_UP.into()).await? {
            bail!("the first events were not delivered and recorded");
        }
        self.sink.reset().await
    }

    /// Profiles the server's processes from now on, if that was asked for.
    ///
    /// # Errors
    ///
    /// When `perf` does not start.
    pub(crate) async fn profile(&self, name: &str) -> Result<Option<Perf>> {
        if !self.perf {
            return Ok(None);
        }
        let ids = self.deployment.process_ids().await?;
        Perf::start(name, &ids).map(Some)
    }

    /// Ends the profiles; where they are.
    ///
    /// # Errors
    ///
    /// When one cannot be ended.
    pub(crate) fn profiled(profile: Option<Perf>) -> Result<Vec<PathBuf>> {
        profile.map_or(Ok(Vec::new()), Perf::stop)
    }
}

/// Events of [`World::warm_up`].
pub(crate) const WARM_UP: u32 = 200;
