//! A network of the test's own: hosts in network namespaces, joined by a bridge,
//! and a cable to each that can be pulled.
//!
//! All of it is in a namespace that the test program itself is started in once
//! more ([`run_inside`]), so the machine's own network is not touched, nothing is
//! left behind, and no one needs to be root where users may make namespaces.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::geteuid;

use crate::manifest::succeeded;
use crate::process::Process;
use crate::wait::eventually;

/// Tells the program that it has been started inside.
const INSIDE: &str = "POSTRIDER_TEST_NETWORK";
const BRIDGE: &str = "bridge0";
/// Kept for documentation (RFC 5737), so nobody's own.
const NETWORK: [u8; 3] = [192, 0, 2];
const OWN: u8 = 254;

/// Whether this program has a network of its own.
#[must_use]
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this program again with these arguments, in a network namespace of its own.
///
/// # Errors
///
/// When it fails, or the system allows no network namespaces.
pub fn run_inside(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<()> {
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        // Neither root nor another user than before, but with root's means inside.
        command.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    command.args(["--net", "--"]).arg(std::env::current_exe()?);
    command.args(arguments).env(INSIDE, "1");
    let status = command.status().context("unshare")?;
    ensure!(status.success(), "run in a network of its own: {status}");
    Ok(())
}

/// The hosts; the test itself is on the bridge.
#[derive(Debug)]
pub struct Network {
    /// Each lives as long as a process that does nothing else.
    keepers: Vec<Process>,
}

impl Network {
    /// Makes so many hosts. Only inside ([`is_inside`]).
    ///
    /// # Errors
    ///
    /// When the system does not allow it, or `ip` is missing.
    pub async fn new(hosts: usize, dir: &Path) -> Result<Self> {
        ensure!(is_inside(), "this would change the machine's own network");
        ip(&["link", "set", "lo", "up"])?;
        ip(&["link", "add", "name", BRIDGE, "type", "bridge"])?;
        ip(&["address", "add", &with_prefix(OWN), "dev", BRIDGE])?;
        ip(&["link", "set", BRIDGE, "up"])?;
        let mut network = Self {
            keepers: Vec::new(),
        };
        for host in 0..hosts {
            network.add(host, dir).await?;
        }
        Ok(network)
    }

    async fn add(&mut self, host: usize, dir: &Path) -> Result<()> {
        let mut command = Command::new("unshare");
        let script = "ip link set lo up && echo made && exec sleep 86400";
        command.args(["--net", "sh", "-c", script]);
        let keeper = Process::start(&format!("host-{host}"), command, dir)?;
        let limit = Duration::from_secs(5);
        let made = eventually("a host's namespace is made", limit, || async {
            ensure!(keeper.output()?.contains("made"), "{}", keeper.tail());
            Ok(())
        });
        made.await?;
        let (cable, id) = (cable(host), keeper.id().to_string());
        self.keepers.push(keeper);
        let end = "eth0";
        let pair = ["link", "add", "name", &cable, "type", "veth", "peer"];
        ip(&[&pair[..], &["name", end, "netns", &id]].concat())?;
        ip(&["link", "set", &cable, "master", BRIDGE, "up"])?;
        let address = with_prefix(Self::address(host).octets()[3]);
        for arguments in [
            ["address", "add", &address, "dev", end].as_slice(),
            &["link", "set", end, "up"],
        ] {
            let mut command = self.command(host, OsStr::new("ip"));
            succeeded(command.args(arguments).output()?)?;
        }
        Ok(())
    }

    /// A host's address.
    ///
    /// # Panics
    ///
    /// When there cannot be so many.
    #[must_use]
    pub fn address(host: usize) -> Ipv4Addr {
        let [a, b, c] = NETWORK;
        Ipv4Addr::new(a, b, c, u8::try_from(host + 1).expect("a few hosts"))
    }

    /// A command that runs `program` on a host.
    #[must_use]
    pub fn command(&self, host: usize, program: &OsStr) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.keepers[host].id()));
        command.arg("--").arg(program);
        command
    }

    /// Pulls a host's cable: whoever spoke with it hears nothing more, and no
    /// connection ends by that.
    ///
    /// # Errors
    ///
    /// When `ip` fails.
    pub fn pull(&self, host: usize) -> Result<()> {
        ip(&["link", "set", &cable(host), "down"])
    }

    /// Puts it back.
    ///
    /// # Errors
    ///
    /// When `ip` fails.
    pub fn plug(&self, host: usize) -> Result<()> {
        ip(&["link", "set", &cable(host), "up"])
    }
}

fn cable(host: usize) -> String {
    format!("cable{host}")
}

fn with_prefix(last: u8) -> String {
    let [a, b, c] = NETWORK;
    format!("{a}.{b}.{c}.{last}/24")
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.context("`ip` is in Debian's package iproute2")?;
    succeeded(output).with_context(|| format!("ip {}", arguments.join(" ")))?;
    Ok(())
}
