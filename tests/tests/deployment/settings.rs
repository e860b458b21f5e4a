//! That the program understands the environment that each pod gives it.

use std::process::Command;

use anyhow::{Result, ensure};
use harness::deployment::{ROLES, binary};
use harness::manifest::{container, environment, object, overlay, succeeded, write_secrets};

/// Values with which a configuration can be checked.
fn example(secret: &str, key: &str) -> String {
    match (secret, key) {
        ("postrider", "master-key") => "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        ("postrider-database-app", "uri") => "postgres://postrider:secret@database/postrider",
        _ => "a-secret-of-some-length",
    }
    .to_owned()
}

#[test]
fn each_roles_settings_are_valid_and_raise_no_unexpected_warning() -> Result<()> {
    let objects = overlay("production")?;
    for role in ROLES {
        let name = format!("postrider-{role}");
        let pod = &object(&objects, "Deployment", &name)?["spec"]["template"]["spec"];
        let container = container(&objects, "Deployment", &name)?;
        let secrets = tempfile::tempdir()?;
        write_secrets(pod, example, secrets.path())?;
        let output = Command::new(binary()?)
            .args(["config", "check", role])
            .env_clear()
            .envs(environment(&objects, container, secrets.path())?)
            .output()?;
        let text = String::from_utf8(succeeded(output)?)?;
        // Listening on all addresses is what a pod is for.
        let unexpected: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("warning: "))
            .filter(|line| !line.contains("_addr: "))
            .collect();
        ensure!(unexpected.is_empty(), "{role}: {unexpected:?}");
        ensure!(container["args"] == serde_json::json!([role]), "{role}");
    }
    Ok(())
}
