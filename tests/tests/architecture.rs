//! Holds the crates to the arrows of ARCHITECTURE.md: imports run downwards
//! only, the roles meet in contracts and not in each other, and each outside
//! thing is known to one crate.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Which crates of this workspace a crate may import, in tests too.
const ARROWS: [(&str, &[&str]); 13] = [
    ("domain", &[]),
    ("proto", &["domain"]),
    ("telemetry", &["domain"]),
    ("broker", &["domain", "proto", "telemetry"]),
    ("store", &["domain"]),
    ("resolver", &[]),
    ("ingest", BELOW_ROLES),
    ("fanout", BELOW_ROLES),
    ("dispatcher", BELOW_ROLES),
    ("history", BELOW_ROLES),
    ("control", BELOW_ROLES),
    ("postrider", ALL),
    ("tests", ALL),
];

const BELOW_ROLES: &[&str] = &[
    "domain",
    "proto",
    "telemetry",
    "broker",
    "store",
    "resolver",
];

const ALL: &[&str] = &[
    "domain",
    "proto",
    "telemetry",
    "broker",
    "store",
    "resolver",
    "ingest",
    "fanout",
    "dispatcher",
    "history",
    "control",
];

/// Libraries that only these crates may import.
const ONLY: [(&str, &[&str]); 6] = [
    ("hickory-resolver", &["resolver"]),
    ("async-nats", &["broker"]),
    ("sqlx", &["store"]),
    ("protox", &["proto"]),
    ("tonic-prost-build", &["proto"]),
    ("clap", &["postrider"]),
];

/// What `domain` may not import: it does no I/O and knows no protocol.
const NOT_IN_DOMAIN: [&str; 7] = [
    "tokio", "tonic", "axum", "hyper", "reqwest", "prost", "http",
];

/// A crate's direct dependencies, by their names in the registry. Ours are
/// without their prefix.
type Crates = BTreeMap<String, Vec<String>>;

fn crates() -> Crates {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(harness::repository())
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {error}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| (name(package), dependencies(package)))
        .collect()
}

fn dependencies(package: &Value) -> Vec<String> {
    let list = package["dependencies"].as_array().expect("dependencies");
    list.iter().map(name).collect()
}

fn name(package: &Value) -> String {
    let name = package["name"].as_str().expect("a name");
    name.strip_prefix("postrider-").unwrap_or(name).to_owned()
}

#[test]
fn imports_follow_the_arrows() {
    let crates = crates();
    let table: BTreeMap<&str, &[&str]> = ARROWS.into();
    assert!(
        crates.keys().eq(table.keys()),
        "a crate came or went: {:?}, and the table has {:?}",
        crates.keys(),
        table.keys()
    );
    for (name, dependencies) in &crates {
        let ours = dependencies.iter().filter(|one| crates.contains_key(*one));
        let wrong: Vec<_> = ours
            .filter(|one| !table[name.as_str()].contains(&one.as_str()))
            .collect();
        assert!(wrong.is_empty(), "{name} may not import {wrong:?}");
    }
}

#[test]
fn each_outside_thing_is_known_to_one_crate() {
    for (name, dependencies) in crates() {
        for (library, owners) in ONLY {
            let imported = dependencies.iter().any(|one| one == library);
            let allowed = owners.contains(&name.as_str());
            assert!(!imported || allowed, "{name} imports {library}");
        }
    }
}

#[test]
fn the_domain_does_no_io() {
    let crates = crates();
    let imported = &crates["domain"];
    let wrong: Vec<_> = imported
        .iter()
        .filter(|one| NOT_IN_DOMAIN.contains(&one.as_str()))
        .collect();
    assert!(wrong.is_empty(), "domain imports {wrong:?}");
}
