//! Kubernetes objects as `kubectl kustomize` renders them, and what a container
//! of theirs is started with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use serde_json::Value;

use crate::repository;

/// Renders base, overlays, and each component upon the base; by name.
///
/// # Errors
///
/// When kubectl is missing or does not render one.
pub fn everything() -> Result<Vec<(String, String)>> {
    let k8s = repository().join("k8s");
    let mut found = vec![("base".to_owned(), render(&k8s.join("base"))?)];
    for overlay in folders(&k8s.join("overlays"))? {
        found.push((name_of(&overlay), render(&overlay)?));
    }
    for component in folders(&k8s.join("components"))? {
        let folder = tempfile::tempdir()?;
        // Kustomize takes relative paths only.
        let folder_path = folder.path().canonicalize()?;
        let relative = |path: &Path| -> Result<String> {
            let up = "../".repeat(folder_path.components().count() - 1);
            let path = path.canonicalize()?;
            Ok(format!("{up}{}", path.strip_prefix("/")?.display()))
        };
        let text = format!(
            "resources: [{}]\ncomponents: [{}]\n",
            relative(&k8s.join("base"))?,
            relative(&component)?
        );
        std::fs::write(folder_path.join("kustomization.yaml"), text)?;
        found.push((name_of(&component), render(&folder_path)?));
    }
    Ok(found)
}

/// The objects of `k8s/overlays/<name>`.
///
/// # Errors
///
/// As [`everything`].
pub fn overlay(name: &str) -> Result<Vec<Value>> {
    parse(&render(&repository().join("k8s/overlays").join(name))?)
}

/// The YAML that `kubectl kustomize` makes of a folder.
fn render(folder: &Path) -> Result<String> {
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(folder)
        .output();
    let output = output.context(
        "kubectl is needed to render k8s/: install one with kustomize 5 (kubectl 1.27 or newer; \
         Debian's kubernetes-client is too old)",
    )?;
    ensure!(
        output.status.success(),
        "kubectl kustomize {} (needs kubectl 1.27 or newer): {}",
        folder.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The documents of a YAML text.
///
/// # Errors
///
/// When it is no YAML.
pub fn parse(yaml: &str) -> Result<Vec<Value>> {
    let program = "import json, sys, yaml; \
                   json.dump([d for d in yaml.safe_load_all(open(sys.argv[1])) if d], sys.stdout)";
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), yaml)?;
    let output = Command::new("python3")
        .args(["-c", program])
        .arg(file.path())
        .output()?;
    Ok(serde_json::from_slice(&succeeded(output)?)?)
}

/// What a program printed, if it ended well.
///
/// # Errors
///
/// What it printed, if it did not.
pub fn succeeded(output: Output) -> Result<Vec<u8>> {
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// The one object of this kind and name; a hash that Kustomize put behind the
/// name does not count.
///
/// # Errors
///
/// When there is none.
pub fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let found = objects.iter().find(|object| {
        object["kind"] == kind
            && object["metadata"]["name"]
                .as_str()
                .is_some_and(|found| found == name || is_generated_from(found, name))
    });
    found.with_context(|| format!("there is no {kind} {name}"))
}

/// Whether `found` is `name` with the hash that Kustomize puts behind it.
fn is_generated_from(found: &str, name: &str) -> bool {
    let hash = found
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('-'));
    hash.is_some_and(|hash| hash.len() == 10 && !hash.contains('-'))
}

/// Each object that makes pods, with the pod's specification.
#[must_use]
pub fn pods(objects: &[Value]) -> Vec<(String, &Value)> {
    let makers = objects.iter().filter(|object| {
        let kind = object["kind"].as_str().unwrap_or_default();
        matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "Job")
    });
    makers
        .map(|object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            (
                format!("{kind} {name}"),
                &object["spec"]["template"]["spec"],
            )
        })
        .collect()
}

/// The items of a list, none if it is absent.
#[must_use]
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What is set in a container, as Kubernetes would: the ConfigMaps first, then
/// the container's own. Files are looked for in `secrets` instead of the mount.
///
/// # Errors
///
/// When a value comes from elsewhere.
pub fn environment(
    objects: &[Value],
    container: &Value,
    secrets: &Path,
) -> Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    for source in list(&container["envFrom"]) {
        let name = source["configMapRef"]["name"].as_str().context("a name")?;
        let map = object(objects, "ConfigMap", name)?;
        for (key, value) in map["data"].as_object().into_iter().flatten() {
            environment.insert(key.clone(), value.as_str().context("a text")?.to_owned());
        }
    }
    let mount = list(&container["volumeMounts"])
        .iter()
        .find(|mount| mount["name"] == "secrets")
        .and_then(|mount| mount["mountPath"].as_str())
        .context("where the secrets are")?;
    for variable in list(&container["env"]) {
        let name = variable["name"].as_str().context("a name")?;
        let value = variable["value"].as_str().context("a plain value")?;
        let value = match value.strip_prefix(mount) {
            Some(file) => format!("{}{file}", secrets.display()),
            None => value.to_owned(),
        };
        environment.insert(name.to_owned(), value);
    }
    Ok(environment)
}

/// The one container of a Deployment or Job.
///
/// # Errors
///
/// When there is no such object.
pub fn container<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let maker = object(objects, kind, name)?;
    let containers = list(&maker["spec"]["template"]["spec"]["containers"]);
    ensure!(containers.len() == 1, "{name} has one container");
    Ok(&containers[0])
}

/// Writes what the projected volume would show, each value of a Secret's key
/// being `value(secret, key)`.
///
/// # Errors
///
/// When the pod has no such volume.
pub fn write_secrets(pod: &Value, value: impl Fn(&str, &str) -> String, to: &Path) -> Result<()> {
    let volume = list(&pod["volumes"])
        .iter()
        .find(|volume| volume["name"] == "secrets")
        .context("a volume of secrets")?;
    for source in list(&volume["projected"]["sources"]) {
        let secret = source["secret"]["name"].as_str().context("a Secret")?;
        for item in list(&source["secret"]["items"]) {
            let key = item["key"].as_str().context("a key")?;
            let path = item["path"].as_str().context("a path")?;
            std::fs::write(to.join(path), value(secret, key))?;
        }
    }
    Ok(())
}

fn folders(parent: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(parent)?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| Ok(entry?.path())).collect();
    let paths: Vec<PathBuf> = paths.map_err(|error: std::io::Error| error)?;
    let mut folders: Vec<PathBuf> = paths.into_iter().filter(|path| path.is_dir()).collect();
    folders.sort();
    ensure!(!folders.is_empty(), "{} is empty", parent.display());
    Ok(folders)
}

fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
