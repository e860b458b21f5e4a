//! What a deployment stands on, where it is not simply this machine.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Deployment, Mode, own_dir};
use crate::cluster::{Cluster, Floor, NODES};
use crate::network::Network;
use crate::postgres::Postgres;
use crate::small_disk::SmallDisk;

/// All of it; by default this machine.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// Standalone's data is on it.
    pub(super) disk: Option<SmallDisk>,
    /// Everything speaks TLS, with the certificates in this folder: `ca.pem`
    /// signs them, `server` is every server's and `client` every client's.
    pub(super) certificates: Option<PathBuf>,
    /// Beneath the three nats-servers of [`Mode::Overlay`].
    pub(super) floor: Floor,
    /// Beneath PostgreSQL.
    pub(super) database_megabytes: Option<u32>,
}

impl Deployment {
    /// Starts standalone with its data on a disk of so many megabytes.
    ///
    /// # Errors
    ///
    /// As [`Deployment::start`], or when there can be no such disk.
    pub async fn start_on_small_disk(megabytes: u32) -> Result<Self> {
        let dir = own_dir()?;
        let ground = Ground {
            disk: Some(SmallDisk::new(dir.path(), "data", megabytes).await?),
            ..Ground::default()
        };
        Self::start_in(dir, Mode::Standalone, &[], ground).await
    }

    /// Starts the overlay with each nats-server on a disk of so many megabytes,
    /// of which it may use so many.
    ///
    /// # Errors
    ///
    /// As [`Deployment::start`], or when there can be no such disks.
    pub async fn start_on_small_stores(megabytes: u32, usable_megabytes: u32) -> Result<Self> {
        let dir = own_dir()?;
        let ground = Ground {
            floor: Floor::disks(dir.path(), megabytes, usable_megabytes).await?,
            ..Ground::default()
        };
        Self::start_in(dir, Mode::Overlay, &[], ground).await
    }

    /// Starts the roles as processes, with PostgreSQL's data on a disk of so many
    /// megabytes.
    ///
    /// # Errors
    ///
    /// As [`Deployment::start`], or when there can be no such disk.
    pub async fn start_on_small_database(
        megabytes: u32,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let ground = Ground {
            database_megabytes: Some(megabytes),
            ..Ground::default()
        };
        Self::start_in(own_dir()?, Mode::Processes, settings, ground).await
    }

    /// Starts the overlay with each nats-server on a host of its own. Only where
    /// [`crate::network::is_inside`].
    ///
    /// # Errors
    ///
    /// As [`Deployment::start`], or when there can be no such network.
    pub async fn start_on_network(settings: &[(&str, &str)]) -> Result<Self> {
        let dir = own_dir()?;
        let ground = Ground {
            floor: Floor::Network(Network::new(NODES, dir.path()).await?),
            ..Ground::default()
        };
        Self::start_in(dir, Mode::Overlay, settings, ground).await
    }

    pub(super) async fn new_postgres(&self) -> Result<Postgres> {
        let dir = self.dir.path();
        match self.ground.database_megabytes {
            Some(megabytes) => Postgres::on_small_disk(dir, megabytes).await,
            None => Postgres::new(dir),
        }
    }

    /// The disk of [`Deployment::start_on_small_disk`].
    ///
    /// # Errors
    ///
    /// When it was started otherwise.
    pub fn disk(&self) -> Result<&SmallDisk> {
        let disk = self.ground.disk.as_ref();
        disk.context("it has no disk of its own")
    }

    /// The three nats-servers of [`Mode::Overlay`], to be killed and started.
    pub async fn cluster(&self) -> tokio::sync::MappedMutexGuard<'_, Cluster> {
        tokio::sync::MutexGuard::map(self.cluster.lock().await, |cluster| {
            cluster.as_mut().expect("this mode has a cluster")
        })
    }

    /// PostgreSQL itself, to be filled and revived.
    pub async fn postgres(&self) -> tokio::sync::MappedMutexGuard<'_, Postgres> {
        tokio::sync::MutexGuard::map(self.postgres.lock().await, |postgres| {
            postgres.as_mut().expect("this mode has a database")
        })
    }
}
