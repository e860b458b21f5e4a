//! Numbers that stand in two places and must agree.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::delivery_policy::MAX_TIMEOUT;
use domain::egress::Policy;
use harness::deployment::{ROLES, binary};
use serde_json::Value;

use harness::manifest::{container, environment, list, object, overlay, succeeded};

/// Between the end of the process's own grace period and the kill.
const MARGIN: Duration = Duration::from_secs(5);
/// What a partition's owner may spend on handing it over before its last
/// attempts begin, and what the process keeps for its very end.
const HAND_OVER: Duration = Duration::from_secs(10);
const AFTER_DRAIN: Duration = Duration::from_secs(3);

#[test]
fn a_pod_gets_the_time_that_its_process_may_take() -> Result<()> {
    for name in ["production", "dev"] {
        let objects = overlay(name)?;
        for role in ROLES {
            let deployment = object(&objects, "Deployment", &format!("postrider-{role}"))?;
            let pod = &deployment["spec"]["template"]["spec"];
            let granted = seconds(&pod["terminationGracePeriodSeconds"])?;
            let container = container(&objects, "Deployment", &format!("postrider-{role}"))?;
            let slept = &container["lifecycle"]["preStop"]["sleep"]["seconds"];
            let slept = seconds(slept).unwrap_or_default();
            let own = shutdown_grace(&objects, container)?;
            ensure!(
                granted == slept + own + MARGIN,
                "{name}: {role}: {granted:?} is not {slept:?} + {own:?} + {MARGIN:?}"
            );
            if role == "dispatcher" {
                let needed = HAND_OVER + MAX_TIMEOUT + AFTER_DRAIN;
                ensure!(
                    own >= needed,
                    "{name}: {own:?} cuts attempts off: {needed:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn there_are_never_more_dispatchers_than_partitions() -> Result<()> {
    for name in ["production", "dev"] {
        let objects = overlay(name)?;
        let settings = object(&objects, "ConfigMap", "postrider")?;
        let partitions = settings["data"]["POSTRIDER_PARTITIONS"].as_str();
        let partitions: u64 = partitions.context("partitions")?.parse()?;
        let deployment = object(&objects, "Deployment", "postrider-dispatcher")?;
        let mut limits = vec![deployment["spec"]["replicas"].as_u64().unwrap_or(1)];
        for scaler in &objects {
            let target = &scaler["spec"]["scaleTargetRef"]["name"];
            if target == "postrider-dispatcher" {
                let most = ["maxReplicas", "maxReplicaCount"];
                let most = most.iter().find_map(|field| scaler["spec"][field].as_u64());
                limits.push(most.context("a limit")?);
                limits.extend(scaler["spec"]["fallback"]["replicas"].as_u64());
            }
        }
        // One by itself, one by a scaler and never by two.
        let scalers = limits.len() - 1;
        ensure!((1..=2).contains(&scalers), "{name}: {limits:?}");
        let most = limits.iter().max().context("at least one")?;
        ensure!(*most <= partitions, "{name}: {limits:?} of {partitions}");
    }
    Ok(())
}

#[test]
fn a_deployment_is_scaled_by_one_scaler() -> Result<()> {
    for name in ["production", "dev"] {
        let objects = overlay(name)?;
        for role in ROLES {
            let target = format!("postrider-{role}");
            let scalers = objects
                .iter()
                .filter(|object| object["spec"]["scaleTargetRef"]["name"] == *target);
            let count = scalers.count();
            ensure!(count == 1, "{name}: {role} has {count} scalers");
        }
    }
    Ok(())
}

/// The second lock on private addresses is as the first.
#[test]
fn the_dispatchers_network_policy_excludes_what_the_dispatcher_refuses() -> Result<()> {
    let objects = overlay("production")?;
    let policy = object(&objects, "NetworkPolicy", "postrider-dispatcher")?;
    let policy_domain = Policy::default();
    let blocks = list(&policy["spec"]["egress"][0]["to"]);
    ensure!(blocks.len() == 2, "one for each version of IP");
    for block in blocks {
        for except in list(&block["ipBlock"]["except"]) {
            let network = except.as_str().context("a network")?;
            let (first, _) = network.split_once('/').context("a prefix")?;
            ensure!(
                !policy_domain.permits(first.parse()?),
                "{network} is refused by nobody else"
            );
        }
    }
    let excluded = |address: &str| -> Result<bool> {
        let address: std::net::IpAddr = address.parse()?;
        let blocks = blocks.iter().map(|block| &block["ipBlock"]);
        let mut allowed = false;
        for block in blocks {
            let inside = within(block["cidr"].as_str().context("a network")?, address)?;
            let mut excepted = false;
            for except in list(&block["except"]) {
                excepted |= within(except.as_str().context("a network")?, address)?;
            }
            allowed |= inside && !excepted;
        }
        Ok(!allowed)
    };
    for private in [
        "0.0.0.1",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.31.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.19.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fc00::1",
        "fe80::1",
        "64:ff9b::1",
        "2001::1",
        "2001:db8::1",
        "2002::1",
        "3fff::1",
    ] {
        ensure!(!policy_domain.permits(private.parse()?), "{private}");
        ensure!(excluded(private)?, "{private} could be reached");
    }
    for public in ["1.1.1.1", "168.63.129.17", "2606:4700::1111"] {
        ensure!(
            policy_domain.permits(public.parse()?) && !excluded(public)?,
            "{public}"
        );
    }
    Ok(())
}

fn within(network: &str, address: std::net::IpAddr) -> Result<bool> {
    let (first, bits) = network.split_once('/').context("a prefix")?;
    let bits: u32 = bits.parse()?;
    let same = |a: u128, b: u128, width: u32| bits == 0 || (a ^ b) >> (width - bits) == 0;
    Ok(match (first.parse()?, address) {
        (std::net::IpAddr::V4(first), std::net::IpAddr::V4(address)) => {
            same(first.to_bits().into(), address.to_bits().into(), 32)
        }
        (std::net::IpAddr::V6(first), std::net::IpAddr::V6(address)) => {
            same(first.to_bits(), address.to_bits(), 128)
        }
        _ => false,
    })
}

fn seconds(value: &Value) -> Result<Duration> {
    Ok(Duration::from_secs(
        value.as_u64().context("whole seconds")?,
    ))
}

/// As the program itself reads the container's environment.
fn shutdown_grace(objects: &[Value], container: &Value) -> Result<Duration> {
    let nowhere = tempfile::tempdir()?;
    let mut environment = environment(objects, container, nowhere.path())?;
    environment.retain(|name, _| !name.ends_with("_FILE") && name != "POSTRIDER_NATS_USER");
    let output = Command::new(binary()?)
        .args(["config", "show", "--json"])
        .env_clear()
        .envs(environment)
        .output()?;
    let settings: Value = serde_json::from_slice(&succeeded(output)?)?;
    let text = settings["shutdown_grace"]["value"].as_str();
    Ok(domain::retry::parse_duration(text.context("a duration")?)?)
}
