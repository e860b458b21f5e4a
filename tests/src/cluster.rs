//! Three nats-servers, as the rendered overlay configures them, each on an
//! address of its own of this machine.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::manifest::{list, object};
use crate::nats::password;
use crate::network::Network;
use crate::process::Process;
use crate::small_disk::SmallDisk;
use crate::wait::eventually;

/// How many there are.
pub const NODES: usize = 3;
const NAMES: [&str; NODES] = ["postrider-nats-0", "postrider-nats-1", "postrider-nats-2"];
/// The folder of a server's streams, below its own.
const DATA: &str = "data";
/// As it stands in `deploy/nats/cluster.conf`.
const MAX_FILE_STORE: &str = "max_file_store: 18GB";
/// A server is read and elected within this.
const HEALTHY: Duration = Duration::from_secs(60);

/// What the servers stand on.
#[derive(Debug, Default)]
pub enum Floor {
    /// This machine.
    #[default]
    Machine,
    /// A host each, whose cable can be pulled.
    Network(Network),
    /// A small disk each, and as much of it as they may use.
    Disks {
        disks: Vec<SmallDisk>,
        max_file_store: String,
    },
}

impl Floor {
    /// Disks of so many megabytes for servers below `dir`, which may use so many of
    /// them.
    ///
    /// # Errors
    ///
    /// When there can be no such disks.
    pub async fn disks(dir: &Path, megabytes: u32, usable_megabytes: u32) -> Result<Self> {
        let mut disks = Vec::new();
        for name in NAMES {
            disks.push(SmallDisk::new(&dir.join(name), DATA, megabytes).await?);
        }
        let max_file_store = format!("{usable_megabytes}MB");
        Ok(Self::Disks {
            disks,
            max_file_store,
        })
    }

    fn command(&self, node: usize, program: &OsStr) -> Command {
        match self {
            Self::Machine => Command::new(program),
            Self::Network(network) => network.command(node, program),
            Self::Disks { disks, .. } => disks[node].command(program),
        }
    }
}

/// The servers; their addresses and stores outlive restarts.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    addresses: [Ipv4Addr; NODES],
    environment: Vec<(String, String)>,
    processes: [Option<Process>; NODES],
    // Goes when the servers have gone.
    floor: Floor,
}

impl Cluster {
    /// Prepares the servers of `objects` under `dir`, at these addresses unless
    /// they stand on a network that has its own.
    ///
    /// # Errors
    ///
    /// When the overlay has no such servers.
    pub fn new(
        objects: &[Value],
        dir: &Path,
        floor: Floor,
        addresses: [Ipv4Addr; NODES],
    ) -> Result<Self> {
        let addresses = match &floor {
            Floor::Network(_) => [0, 1, 2].map(Network::address),
            Floor::Machine | Floor::Disks { .. } => addresses,
        };
        let cluster = Self {
            dir: dir.to_owned(),
            addresses,
            environment: Vec::new(),
            processes: [const { None }; NODES],
            floor,
        };
        let set = object(objects, "StatefulSet", "postrider-nats")?;
        ensure!(set["spec"]["replicas"] == NODES, "there are three of them");
        let container = &set["spec"]["template"]["spec"]["containers"][0];
        ensure!(
            container["args"] == serde_json::json!(["--config", "/etc/nats/cluster.conf"]),
            "they are started otherwise: {}",
            container["args"]
        );
        let files = object(objects, "ConfigMap", "postrider-nats")?["data"].as_object();
        for (node, name) in NAMES.iter().enumerate() {
            let folder = dir.join(name);
            std::fs::create_dir_all(&folder)?;
            for (file, text) in files.context("files")? {
                let text = text.as_str().context("a text")?;
                std::fs::write(folder.join(file), cluster.placed(text, node))?;
            }
        }
        let environment = environment(container, &cluster)?;
        Ok(Self {
            environment,
            ..cluster
        })
    }

    /// A text with what Kubernetes would resolve: names of servers, the pod's
    /// own address and folders.
    fn placed(&self, text: &str, node: usize) -> String {
        let folder = self.dir.join(NAMES[node]);
        let folder = folder.display();
        let mut text = text
            .replace("0.0.0.0", &self.addresses[node].to_string())
            .replace("/run/nats", &folder.to_string())
            .replace("store_dir: /data", &format!("store_dir: {folder}/{DATA}"));
        if let Floor::Disks { max_file_store, .. } = &self.floor {
            let limit = format!("max_file_store: {max_file_store}");
            text = text.replace(MAX_FILE_STORE, &limit);
        }
        for (name, address) in NAMES.iter().zip(self.addresses) {
            let name = format!("{name}.postrider-nats-servers");
            text = text.replace(&name, &address.to_string());
        }
        text
    }

    /// All servers' addresses, for clients: what the Service stands for.
    #[must_use]
    pub fn url(&self) -> String {
        self.addresses
            .map(|address| format!("nats://{address}:4222"))
            .join(",")
    }

    /// Starts one server (again).
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(&mut self, node: usize) -> Result<()> {
        let program =
            std::env::var_os("POSTRIDER_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let mut command = self.floor.command(node, &program);
        let config = self.dir.join(NAMES[node]).join("cluster.conf");
        command
            .arg("--config")
            .arg(config)
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .env("POD_NAME", NAMES[node]);
        let name = format!("nats-{node}");
        self.processes[node] = Some(Process::start(&name, command, &self.dir)?);
        Ok(())
    }

    /// Waits until one server has all it needs, as its readiness probe asks.
    ///
    /// # Errors
    ///
    /// When it has not within 60 s, with the end of its log.
    pub async fn healthy(&self, node: usize) -> Result<()> {
        let url = format!(
            "http://{}:8222/healthz?js-server-only=true",
            self.addresses[node]
        );
        let what = format!("{} is healthy", NAMES[node]);
        let healthy = eventually(&what, HEALTHY, || async {
            let answer = reqwest::get(&url).await?;
            ensure!(answer.status() == 200, "{}", answer.text().await?);
            Ok(())
        });
        healthy.await.with_context(|| {
            let process = self.processes[node].as_ref();
            process.map(Process::tail).unwrap_or_default()
        })
    }

    /// Kills one server (SIGKILL).
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        self.take(node)?.kill()
    }

    /// Ends one server at once, but in order (SIGTERM).
    ///
    /// # Errors
    ///
    /// When it has not ended after 10 s.
    pub fn stop(&mut self, node: usize) -> Result<()> {
        self.take(node)?.terminate(Duration::from_secs(10))?;
        Ok(())
    }

    /// Stops one server where it stands, or lets it go on: to the others it is
    /// as if its network were gone, and its clients' connections hang.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn signal(&self, node: usize, signal: Signal) -> Result<()> {
        let process = self.processes[node].as_ref();
        process
            .with_context(|| format!("{} does not run", NAMES[node]))?
            .signal(signal)
    }

    /// The network that the servers stand on.
    ///
    /// # Errors
    ///
    /// When they stand on this machine.
    pub fn network(&self) -> Result<&Network> {
        match &self.floor {
            Floor::Network(network) => Ok(network),
            Floor::Machine | Floor::Disks { .. } => anyhow::bail!("they share a machine"),
        }
    }

    /// The servers' own disks.
    ///
    /// # Errors
    ///
    /// When they share one.
    pub fn disks(&self) -> Result<&[SmallDisk]> {
        match &self.floor {
            Floor::Disks { disks, .. } => Ok(disks),
            Floor::Machine | Floor::Network(_) => anyhow::bail!("they share a disk"),
        }
    }

    /// Writes into a server's configuration how much of its disk it may use from
    /// its next start on.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn set_usable(&self, node: usize, megabytes: u32) -> Result<()> {
        let path = self.dir.join(NAMES[node]).join("cluster.conf");
        let text = std::fs::read_to_string(&path)?;
        let (before, after) = text.split_once("max_file_store: ").context("a limit")?;
        let (_, after) = after.split_once(' ').context("something behind it")?;
        let text = format!("{before}max_file_store: {megabytes}MB {after}");
        Ok(std::fs::write(path, text)?)
    }

    /// What a server has said.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn log(&self, node: usize) -> Result<String> {
        let process = self.processes[node].as_ref();
        process
            .with_context(|| format!("{} does not run", NAMES[node]))?
            .output()
    }

    /// Drains one server as its pod's `preStop` does (lame duck), then ends it.
    ///
    /// # Errors
    ///
    /// When it has not ended after a minute.
    pub async fn drain(&mut self, node: usize) -> Result<()> {
        let mut process = self.take(node)?;
        process.signal(Signal::USR2)?;
        // Not on the thread that others are to be served by.
        tokio::task::spawn_blocking(move || process.wait(Duration::from_secs(90))).await??;
        Ok(())
    }

    /// The number of the server that leads a stream.
    ///
    /// # Errors
    ///
    /// When none says so.
    pub async fn leader(&self, stream: &str) -> Result<usize> {
        for (node, address) in self.addresses.iter().enumerate() {
            if self.processes[node].is_none() {
                continue;
            }
            let url = format!("http://{address}:8222/jsz?streams=true&accounts=true");
            let state: Value = reqwest::get(&url).await?.json().await?;
            let accounts = list(&state["account_details"]);
            let streams = accounts
                .iter()
                .flat_map(|account| list(&account["stream_detail"]));
            let mut found = streams.filter(|found| found["name"] == stream);
            if let Some(leader) = found.find_map(|found| found["cluster"]["leader"].as_str()) {
                let leads = NAMES.iter().position(|name| *name == leader);
                return leads.with_context(|| format!("{leader} leads {stream}"));
            }
        }
        anyhow::bail!("no server knows who leads {stream}")
    }

    /// The process ids of those that run.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.processes.iter().flatten().map(Process::id).collect()
    }

    fn take(&mut self, node: usize) -> Result<Process> {
        let process = self.processes[node].take();
        process.with_context(|| format!("{} does not run", NAMES[node]))
    }
}

/// What the container sets; passwords are the tests' own.
fn environment(container: &Value, cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let mut environment: Vec<(String, String)> = Vec::new();
    for variable in list(&container["env"]) {
        let name = variable["name"].as_str().context("a name")?;
        let reference = &variable["valueFrom"]["secretKeyRef"];
        let value = if let Some(key) = reference["key"].as_str() {
            password(key)
        } else if let Some(value) = variable["value"].as_str() {
            // `$(NAME)` is what was set before.
            let mut value = cluster.placed(value, 0);
            for (earlier, known) in &environment {
                value = value.replace(&format!("$({earlier})"), known);
            }
            value
        } else {
            // The pod's own name: each server's.
            continue;
        };
        environment.push((name.to_owned(), value));
    }
    Ok(environment)
}
