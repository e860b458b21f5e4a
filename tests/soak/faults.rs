//! What can happen to a deployment, and its recovery.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use harness::cluster::NODES;
use harness::deployment::{Deployment, ROLES};

use rustix::process::Signal;

use crate::chance::Chance;

const READY: Duration = Duration::from_secs(90);
/// How long something stays away.
const AWAY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    RoleKilled(&'static str),
    RoleRestarted(&'static str),
    ServerKilled(usize),
    ServerDrained(usize),
    ServerHangs(usize),
    ServerCutOff(usize),
    TwoServersKilled(usize),
    DatabaseAway,
}

impl Fault {
    pub(crate) fn any(chance: &mut Chance) -> Self {
        let role = ROLES[chance.below(ROLES.len() as u64) as usize];
        let node = chance.below(NODES as u64) as usize;
        match chance.below(8) {
            0 => Self::RoleKilled(role),
            1 => Self::RoleRestarted(role),
            2 => Self::ServerKilled(node),
            3 => Self::ServerDrained(node),
            4 => Self::ServerHangs(node),
            5 => Self::ServerCutOff(node),
            6 => Self::TwoServersKilled(node),
            _ => Self::DatabaseAway,
        }
    }

    /// Does it, and waits until all is as before.
    pub(crate) async fn happen(self, deployment: &Deployment) -> Result<()> {
        match self {
            Self::RoleKilled(role) => deployment.kill(role)?,
            Self::RoleRestarted(role) => deployment.terminate(role)?,
            Self::ServerKilled(node) => deployment.cluster().await.kill(node)?,
            Self::ServerDrained(node) => deployment.cluster().await.drain(node).await?,
            Self::ServerHangs(node) => deployment.cluster().await.signal(node, Signal::STOP)?,
            Self::ServerCutOff(node) => deployment.cluster().await.network()?.pull(node)?,
            Self::TwoServersKilled(but) => {
                for node in others(but) {
                    deployment.cluster().await.kill(node)?;
                }
            }
            Self::DatabaseAway => deployment.stop_database().await?,
        }
        match self {
            Self::RoleKilled(role) | Self::RoleRestarted(role) => {
                deployment.start_process(role).await?;
            }
            Self::ServerKilled(node) | Self::ServerDrained(node) => {
                tokio::time::sleep(AWAY).await;
                deployment.cluster().await.start(node)?;
                deployment.cluster().await.healthy(node).await?;
            }
            Self::ServerHangs(node) => {
                tokio::time::sleep(AWAY).await;
                deployment.cluster().await.signal(node, Signal::CONT)?;
                deployment.cluster().await.healthy(node).await?;
            }
            Self::ServerCutOff(node) => {
                // Longer than an election takes.
                tokio::time::sleep(3 * AWAY).await;
                deployment.cluster().await.network()?.plug(node)?;
                deployment.cluster().await.healthy(node).await?;
            }
            Self::TwoServersKilled(but) => {
                tokio::time::sleep(AWAY).await;
                for node in others(but) {
                    deployment.cluster().await.start(node)?;
                }
                for node in others(but) {
                    deployment.cluster().await.healthy(node).await?;
                }
            }
            Self::DatabaseAway => {
                tokio::time::sleep(AWAY).await;
                deployment.start_database().await?;
            }
        }
        deployment.ready(READY).await
    }
}

fn others(but: usize) -> impl Iterator<Item = usize> {
    (0..NODES).filter(move |node| *node != but)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoleKilled(role) => write!(f, "{role} killed"),
            Self::RoleRestarted(role) => write!(f, "{role} restarted"),
            Self::ServerKilled(node) => write!(f, "nats-server {node} killed"),
            Self::ServerHangs(node) => write!(f, "nats-server {node} hangs"),
            Self::ServerDrained(node) => write!(f, "nats-server {node} drained"),
            Self::ServerCutOff(node) => write!(f, "nats-server {node} cut off"),
            Self::TwoServersKilled(but) => write!(f, "all nats-servers but {but} killed"),
            Self::DatabaseAway => write!(f, "database away"),
        }
    }
}
