//! The roles as the rendered production overlay runs them: its arguments, its
//! environment, its ports and probes, on three nats-servers with its
//! configuration. Each pod has an address of its own of this machine.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{ADMIN_KEY, MASTER_KEY, binary};
use crate::cluster::{Cluster, Floor, NODES};
use crate::manifest::{container, environment, list, object, overlay, write_secrets};
use crate::nats::password;

/// The overlay's objects, and where its pods stand.
#[derive(Debug)]
pub(super) struct Overlay {
    objects: Vec<Value>,
    nats_url: String,
    /// By the names of Services and, for others than the first, of processes.
    addresses: BTreeMap<String, Ipv4Addr>,
}

/// The last part of the first server's and of the first role's address, in the
/// block that a deployment has.
const FIRST_NODE: u8 = 1;
const FIRST_ROLE: u8 = 11;
/// Addresses of a deployment.
const BLOCK: u8 = 20;
/// So many deployments a test process can have, one after the other or at once.
const BLOCKS: u8 = 12;

static NEXT_BLOCK: AtomicU8 = AtomicU8::new(0);

/// Addresses that neither another test process nor another deployment of this
/// one uses at the same time.
fn block() -> Result<impl Fn(u8) -> Ipv4Addr> {
    let block = NEXT_BLOCK.fetch_add(1, Ordering::Relaxed);
    ensure!(block < BLOCKS, "more than {BLOCKS} deployments of pods");
    let [.., high, low] = std::process::id().to_be_bytes();
    Ok(move |number| Ipv4Addr::new(127, 64 + high % 128, low, block * BLOCK + number))
}

impl Overlay {
    /// Renders the overlay, and prepares its cluster under `dir`.
    pub(super) fn prepare(dir: &Path, floor: Floor, roles: &[&str]) -> Result<(Self, Cluster)> {
        let objects = overlay("production")?;
        let address = block()?;
        let nodes: [Ipv4Addr; NODES] = [0, 1, 2].map(|node| address(FIRST_NODE + node));
        let cluster = Cluster::new(&objects, dir, floor, nodes)?;
        let numbered = roles.iter().zip(FIRST_ROLE..);
        let addresses = numbered.map(|(role, last)| ((*role).to_owned(), address(last)));
        let overlay = Self {
            nats_url: cluster.url(),
            addresses: addresses.collect(),
            objects,
        };
        Ok((overlay, cluster))
    }

    pub(super) fn address(&self, role: &str) -> Result<Ipv4Addr> {
        let address = self.addresses.get(role).copied();
        address.with_context(|| format!("{role} is no pod"))
    }

    /// The command of a role's pod.
    pub(super) fn role(&self, role: &str, database: &str, dir: &Path) -> Result<Command> {
        self.command("Deployment", role, database, dir)
    }

    /// The command of the migration's pod.
    pub(super) fn migration(&self, database: &str, dir: &Path) -> Result<Command> {
        self.command("Job", "migrate", database, dir)
    }

    fn command(&self, kind: &str, role: &str, database: &str, dir: &Path) -> Result<Command> {
        let name = format!("postrider-{role}");
        let pod = &object(&self.objects, kind, &name)?["spec"]["template"]["spec"];
        let secrets = dir.join(format!("secrets-{role}"));
        std::fs::create_dir_all(&secrets)?;
        let value = |secret: &str, key: &str| match (secret, key) {
            ("postrider-database-app", "uri") => database.to_owned(),
            ("postrider", "master-key") => MASTER_KEY.to_owned(),
            ("postrider", "admin-key") => ADMIN_KEY.to_owned(),
            (_, user) => password(user),
        };
        write_secrets(pod, value, &secrets)?;
        let container = container(&self.objects, kind, &name)?;
        let mut command = Command::new(binary()?);
        for argument in list(&container["args"]) {
            command.arg(argument.as_str().context("a text")?);
        }
        command.env_clear();
        for (name, value) in environment(&self.objects, container, &secrets)? {
            command.env(name, self.placed(&value, role));
        }
        Ok(command)
    }

    /// A value with what Kubernetes would resolve: the names of Services, and
    /// the pod's own address where it listens on all of them.
    fn placed(&self, value: &str, role: &str) -> String {
        let mut value = value.replace("nats://postrider-nats:4222", &self.nats_url);
        if let Some(own) = self.addresses.get(role) {
            value = value.replace("0.0.0.0", &own.to_string());
        }
        for (role, address) in &self.addresses {
            let service = format!("//postrider-{role}:");
            value = value.replace(&service, &format!("//{address}:"));
        }
        value
    }

    /// Asks all probes of a role's pod, as the kubelet would.
    pub(super) async fn probe(&self, role: &str) -> Result<()> {
        let container = container(&self.objects, "Deployment", &format!("postrider-{role}"))?;
        let address = self.address(role)?;
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let asked = ask(&container[probe], list(&container["ports"]), address);
            asked.await.with_context(|| format!("{role}: {probe}"))?;
        }
        Ok(())
    }
}

async fn ask(probe: &Value, ports: &[Value], address: Ipv4Addr) -> Result<()> {
    if let Some(port) = probe["grpc"]["port"].as_u64() {
        let url = format!("http://{address}:{port}");
        let mut client = HealthClient::new(Endpoint::new(url)?.connect().await?);
        let service = probe["grpc"]["service"].as_str().unwrap_or_default();
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let status = client.check(request).await?.into_inner().status();
        ensure!(status == ServingStatus::Serving, "{service}: {status:?}");
        return Ok(());
    }
    let request = &probe["httpGet"];
    let named = ports.iter().find(|port| port["name"] == request["port"]);
    let port = &named.context("a port of this name")?["containerPort"];
    let path = request["path"].as_str().context("a path")?;
    let answer = reqwest::get(format!("http://{address}:{port}{path}")).await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    Ok(())
}
