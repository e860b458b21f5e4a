//! The collector's configuration, as far as it can be judged without a collector:
//! that its parts are named where they are used, and that each has no field but
//! those of its kind at the version that compose.yaml runs.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use harness::manifest::{list, parse};
use harness::repository;
use serde_json::{Value, json};

/// Each kind of component that is used, and the fields that may be set.
const FIELDS: [(&str, &str, &[&str]); 6] = [
    ("receivers", "otlp", &["protocols"]),
    (
        "processors",
        "memory_limiter",
        &[
            "check_interval",
            "limit_mib",
            "spike_limit_mib",
            "limit_percentage",
            "spike_limit_percentage",
        ],
    ),
    (
        "processors",
        "tail_sampling",
        &[
            "decision_wait",
            "num_traces",
            "expected_new_traces_per_sec",
            "policies",
        ],
    ),
    (
        "processors",
        "batch",
        &["timeout", "send_batch_size", "send_batch_max_size"],
    ),
    ("exporters", "otlp", &["endpoint", "tls", "headers"]),
    ("exporters", "nop", &[]),
];

/// Each type of policy that is used, and the fields it must have.
const POLICIES: [(&str, &[&str]); 4] = [
    ("status_code", &["status_codes"]),
    ("latency", &["threshold_ms"]),
    ("numeric_attribute", &["key", "min_value", "max_value"]),
    ("probabilistic", &["sampling_percentage"]),
];

#[test]
fn the_collectors_configuration_is_sound() -> Result<()> {
    sound(&configuration()?)
}

#[test]
fn the_check_finds_what_a_collector_would_refuse() -> Result<()> {
    let good = configuration()?;
    let policies = "/processors/tail_sampling/policies";
    let spoiled: [(&str, Value); 9] = [
        ("/service/pipelines/traces/exporters", json!(["otlp/trace"])),
        ("/service/pipelines/traces/receivers", json!([])),
        (
            "/service/pipelines/traces/processors",
            json!(["batch", "tail_sampling"]),
        ),
        ("/processors/batch", json!({"timeuot": "1s"})),
        ("/exporters/nop", json!({"endpoint": "jaeger:4317"})),
        ("/processors/tail_sampling/decision_wait", json!("30")),
        (policies, json!([])),
        (
            policies,
            json!([{"name": "slow", "type": "latency", "latency": {"threshold": 2000}}]),
        ),
        (
            policies,
            json!([{"name": "slow", "type": "latency", "status_code": {"status_codes": ["ERROR"]}}]),
        ),
    ];
    for (path, value) in spoiled {
        let mut bad = good.clone();
        *bad.pointer_mut(path).context("it is there")? = value;
        ensure!(sound(&bad).is_err(), "{path} is taken as it is");
    }
    Ok(())
}

#[test]
fn the_collector_is_where_compose_sends_spans_and_knows_where_to_send_them() -> Result<()> {
    let text = std::fs::read_to_string(repository().join("deploy/compose.yaml"))?;
    let compose = parse(&text)?.pop().context("a document")?;
    let services = compose["services"].as_object().context("services")?;
    let configuration = configuration()?;
    let port = |address: &Value| -> Result<(String, String)> {
        let address = address.as_str().context("an address")?;
        let address = address.trim_start_matches("http://");
        let (host, port) = address.split_once(':').context("a port")?;
        Ok((host.to_owned(), port.to_owned()))
    };
    let (_, listens) = port(&configuration["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"])?;
    let sends = &services["dispatcher"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"];
    let (host, asked) = port(sends)?;
    ensure!(asked == listens, "{asked} is not {listens}");
    ensure!(services.contains_key(&host), "{host} is no service");
    let (host, _) = port(&configuration["exporters"]["otlp/traces"]["endpoint"])?;
    ensure!(services.contains_key(&host), "{host} is no service");
    Ok(())
}

fn configuration() -> Result<Value> {
    let path = repository().join("deploy/otel-collector.yaml");
    let parsed = parse(&std::fs::read_to_string(path)?)?.pop();
    parsed.context("a document")
}

fn sound(configuration: &Value) -> Result<()> {
    let top: Vec<&String> = fields(configuration)?;
    let known = ["receivers", "processors", "exporters", "service"];
    let unknown = top.iter().find(|name| !known.contains(&name.as_str()));
    ensure!(unknown.is_none(), "{unknown:?}");
    let mut used = BTreeSet::new();
    let pipelines = &configuration["service"]["pipelines"];
    for name in fields(pipelines)? {
        let signal = name.split('/').next().unwrap_or_default();
        ensure!(
            ["traces", "metrics", "logs"].contains(&signal),
            "{name} is no signal"
        );
        let pipeline = &pipelines[name];
        for part in fields(pipeline)? {
            for component in list(&pipeline[part]) {
                let component = component.as_str().context("a name")?;
                let defined = &configuration[part][component];
                ensure!(!defined.is_null(), "{name}: {part}: {component}");
                used.insert((part.clone(), component.to_owned()));
            }
        }
        for needed in ["receivers", "exporters"] {
            ensure!(!list(&pipeline[needed]).is_empty(), "{name}: no {needed}");
        }
        in_order(list(&pipeline["processors"])).with_context(|| name.clone())?;
    }
    for part in ["receivers", "processors", "exporters"] {
        for component in fields(&configuration[part])? {
            let pair = (part.to_owned(), component.clone());
            ensure!(used.contains(&pair), "{part}: {component} is never used");
            component_is_known(part, component, &configuration[part][component])?;
        }
    }
    policies_are_complete(&configuration["processors"]["tail_sampling"])
}

/// The limiter refuses before others hold anything, and batches are made of what
/// is kept.
fn in_order(processors: &[Value]) -> Result<()> {
    let order = ["memory_limiter", "tail_sampling", "batch"];
    let places: Option<Vec<usize>> = processors
        .iter()
        .map(|name| order.iter().position(|known| name == known))
        .collect();
    let places = places.context("a processor that has no place")?;
    ensure!(places.is_sorted(), "{processors:?}");
    Ok(())
}

fn component_is_known(part: &str, name: &str, component: &Value) -> Result<()> {
    let kind = name.split('/').next().unwrap_or_default();
    let known = FIELDS
        .iter()
        .find(|(of, known, _)| *of == part && *known == kind);
    let Some((_, _, known)) = known else {
        bail!("{part}: {name} is of no kind that this test knows");
    };
    for field in fields(component)? {
        ensure!(known.contains(&field.as_str()), "{part}: {name}: {field}");
        let value = &component[field];
        if ["check_interval", "decision_wait", "timeout"].contains(&field.as_str()) {
            let text = value.as_str().context("a duration with its unit")?;
            domain::retry::parse_duration(text).with_context(|| format!("{name}: {field}"))?;
        }
    }
    Ok(())
}

fn policies_are_complete(sampling: &Value) -> Result<()> {
    let policies = list(&sampling["policies"]);
    ensure!(!policies.is_empty(), "nothing would be kept");
    let mut names = BTreeSet::new();
    for policy in policies {
        let name = policy["name"].as_str().context("a name")?;
        ensure!(names.insert(name), "{name} stands there twice");
        let kind = policy["type"].as_str().context("a type")?;
        let known = POLICIES.iter().find(|(known, _)| *known == kind);
        let (_, needed) = known.with_context(|| format!("{name}: {kind}"))?;
        let expected = BTreeSet::from(["name", "type", kind]);
        let found: BTreeSet<&str> = fields(policy)?.into_iter().map(String::as_str).collect();
        ensure!(found == expected, "{name}: {found:?}");
        let own: Vec<&str> = fields(&policy[kind])?
            .into_iter()
            .map(String::as_str)
            .collect();
        let own: BTreeSet<&str> = own.into_iter().collect();
        ensure!(
            own == needed.iter().copied().collect(),
            "{name}: {own:?} and not {needed:?}"
        );
    }
    Ok(())
}

/// The keys of an object; none of nothing.
fn fields(value: &Value) -> Result<Vec<&String>> {
    match value {
        Value::Object(object) => Ok(object.keys().collect()),
        Value::Null => Ok(Vec::new()),
        other => bail!("{other} is no object"),
    }
}
