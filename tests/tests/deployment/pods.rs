//! Restricted pod security, and what every pod of ours must have besides.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use harness::manifest::{everything, list, parse, pods};

#[test]
fn every_pod_keeps_to_the_restricted_pod_security_standard() -> Result<()> {
    for (rendering, yaml) in everything()? {
        let objects = parse(&yaml)?;
        for (name, pod) in pods(&objects) {
            let found = violations(pod);
            ensure!(found.is_empty(), "{rendering}: {name}: {found:?}");
        }
    }
    Ok(())
}

#[test]
fn every_container_can_be_probed_and_is_bounded() -> Result<()> {
    for (rendering, yaml) in everything()? {
        let objects = parse(&yaml)?;
        for (name, pod) in pods(&objects) {
            for container in list(&pod["containers"]) {
                let at = format!("{rendering}: {name}");
                let resources = &container["resources"];
                ensure!(!resources["requests"]["cpu"].is_null(), "{at}: cpu");
                ensure!(!resources["limits"]["memory"].is_null(), "{at}: memory");
                ensure!(resources["limits"]["cpu"].is_null(), "{at}: throttled");
                ensure!(
                    container["securityContext"]["readOnlyRootFilesystem"] == json!(true),
                    "{at}: its root file system can be written"
                );
                let probed = !container["readinessProbe"].is_null();
                ensure!(probed || name.starts_with("Job "), "{at}: no probe");
            }
            ensure!(
                pod["automountServiceAccountToken"] == json!(false),
                "{rendering}: {name} could talk to the API server"
            );
        }
    }
    Ok(())
}

#[test]
fn the_check_finds_what_is_not_restricted() {
    let good = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
    });
    assert_eq!(violations(&good), [""; 0]);
    let spoiled: [fn(&mut Value); 6] = [
        |pod| pod["hostNetwork"] = json!(true),
        |pod| pod["securityContext"]["runAsNonRoot"] = json!(false),
        |pod| pod["securityContext"]["seccompProfile"] = Value::Null,
        |pod| pod["containers"][0]["securityContext"] = Value::Null,
        |pod| pod["containers"][0]["securityContext"]["runAsUser"] = json!(0),
        |pod| pod["volumes"] = json!([{"name": "host", "hostPath": {"path": "/"}}]),
    ];
    for spoil in spoiled {
        let mut pod = good.clone();
        spoil(&mut pod);
        assert!(!violations(&pod).is_empty(), "{pod}");
    }
}

/// What the standard of this name forbids.
/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/>
fn violations(pod: &Value) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut require = |holds: bool, what| {
        if !holds {
            found.push(what);
        }
    };
    let of_pod = &pod["securityContext"];
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        require(pod[field] != json!(true), "shares a namespace of the host");
    }
    require(of_pod["sysctls"].is_null(), "sysctls");
    let allowed = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in list(&pod["volumes"]) {
        let fields = volume.as_object().into_iter().flatten();
        let kinds = fields.filter(|(key, _)| *key != "name");
        for (kind, _) in kinds {
            require(allowed.contains(&kind.as_str()), "a volume's type");
        }
    }
    for container in list(&pod["containers"])
        .iter()
        .chain(list(&pod["initContainers"]))
    {
        let own = &container["securityContext"];
        let either = |field: &str| match &own[field] {
            Value::Null => of_pod[field].clone(),
            value => value.clone(),
        };
        require(own["privileged"] != json!(true), "privileged");
        require(
            own["allowPrivilegeEscalation"] == json!(false),
            "may gain privileges",
        );
        require(either("runAsNonRoot") == json!(true), "may run as root");
        require(either("runAsUser") != json!(0), "runs as root");
        let profile = either("seccompProfile")["type"].clone();
        require(
            profile == json!("RuntimeDefault") || profile == json!("Localhost"),
            "no seccomp profile",
        );
        require(
            list(&own["capabilities"]["drop"]).contains(&json!("ALL")),
            "keeps capabilities",
        );
        let added = list(&own["capabilities"]["add"]);
        require(
            added.iter().all(|one| one == "NET_BIND_SERVICE"),
            "adds capabilities",
        );
        for port in list(&container["ports"]) {
            require(port["hostPort"].is_null(), "a port of the host");
        }
    }
    found
}
