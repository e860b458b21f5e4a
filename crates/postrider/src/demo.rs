//! `make demo`: standalone, a customer's server, and something to look at.

mod receiver;

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::catalogue;
use domain::signature::Secret;
use reqwest::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::client::Api;
use crate::commands::Loaded;
use crate::config::Error;
use crate::data_dir::ADMIN_KEY;
use crate::serve;
use crate::wire::Addresses;
use receiver::{Behaviour, Receiver};

const ACCOUNT: &str = "demo";
/// Marks the endpoints of earlier demos, which are removed.
const MARK: &str = "Demo: ";
const INTERVAL: Duration = Duration::from_secs(1);
const PAGE: u32 = 100;

/// A customer's endpoint.
struct Sample {
    path: &'static str,
    description: &'static str,
    event_types: &'static [&'static str],
    behaviour: Behaviour,
}

const SAMPLES: &[Sample] = &[
    Sample {
        path: "inbox",
        description: "Demo: a support inbox that is always there",
        event_types: &["message.incoming"],
        behaviour: Behaviour::Well,
    },
    Sample {
        path: "reports",
        description: "Demo: a report store that is down now and then",
        event_types: &["message.report"],
        behaviour: Behaviour::Flaky,
    },
    Sample {
        path: "crm",
        description: "Demo: a CRM that is slow to answer",
        event_types: &["message.incoming", "form.submitted"],
        behaviour: Behaviour::Slow,
    },
];

/// Runs standalone, and the demo in it once it is ready.
///
/// # Errors
///
/// Those of standalone; when the demo's own part fails.
pub(crate) async fn run(loaded: Loaded) -> Result<()> {
    let given_key = loaded.config.admin_key.clone();
    let key_file = loaded.config.data_dir.join(ADMIN_KEY);
    let (ready, is_ready) = oneshot::channel();
    let demo = async {
        let Ok(addresses) = is_ready.await else {
            // Standalone has ended, and says why.
            return std::future::pending().await;
        };
        let key = match given_key {
            Some(key) => secrecy::ExposeSecret::expose_secret(&key).to_owned(),
            None => std::fs::read_to_string(&key_file)
                .map_err(|error| Error::DataDir(format!("{}: {error}", key_file.display())))?,
        };
        perform(&addresses, key.trim()).await
    };
    tokio::select! {
        ended = serve::standalone(loaded, Some(ready)) => ended,
        ended = demo => ended,
    }
}

async fn perform(addresses: &Addresses, key: &str) -> Result<()> {
    let http = addresses
        .http
        .as_deref()
        .context("standalone answers HTTP")?;
    let http = http.parse().context("standalone's address is a URL")?;
    let api = Api::new(http, key.to_owned())?;
    let receiver = Receiver::bind().await?;
    remove_earlier(&api).await?;
    let mut secrets = HashMap::new();
    for sample in SAMPLES {
        let id = create(&api, &receiver.url(sample.path), sample).await?;
        let path = format!("/v1/accounts/{ACCOUNT}/endpoints/{id}/secret");
        let answer = api.get(&path, &[]).await?;
        let secret = answer["secret"]
            .as_str()
            .context("an endpoint has a secret")?;
        secrets.insert(
            format!("/{}", sample.path),
            (Secret::parse(secret)?, sample.behaviour),
        );
        print(&format!("endpoint {id}  {}", sample.description))?;
    }
    let path = format!("/v1/accounts/{ACCOUNT}/portal-sessions");
    let link = api
        .send_json(Method::POST, &path, &json!({"ttl_seconds": 86_400}))
        .await?;
    let link = link["url"].as_str().context("a session has a link")?;
    print(&format!(
        "publishing an event a second to the account `{ACCOUNT}`; Ctrl-C ends the demo\n\
         its dashboard: {link}\n\
         or look at it with: postrider history list --account {ACCOUNT}"
    ))?;
    tokio::select! {
        ended = receiver.serve(secrets) => ended,
        ended = publish(&api) => ended,
    }
}

async fn remove_earlier(api: &Api) -> Result<()> {
    let path = format!("/v1/accounts/{ACCOUNT}/endpoints");
    let page = api
        .get(&path, &[("page_size", Some(PAGE.to_string()))])
        .await?;
    for endpoint in page["endpoints"].as_array().into_iter().flatten() {
        let ours = endpoint["description"]
            .as_str()
            .is_some_and(|text| text.starts_with(MARK));
        if let (true, Some(id)) = (ours, endpoint["id"].as_str()) {
            api.call(Method::DELETE, &format!("{path}/{id}")).await?;
        }
    }
    Ok(())
}

async fn create(api: &Api, url: &str, sample: &Sample) -> Result<String> {
    let body = json!({
        "url": url, "description": sample.description, "event_types": sample.event_types,
    });
    let path = format!("/v1/accounts/{ACCOUNT}/endpoints");
    let endpoint: Value = api.send_json(Method::POST, &path, &body).await?;
    Ok(endpoint["id"]
        .as_str()
        .context("an endpoint has an id")?
        .to_owned())
}

/// Publishes the catalogue's examples in turn, for ever.
async fn publish(api: &Api) -> Result<()> {
    #[derive(serde::Serialize)]
    struct NewEvent<'a> {
        r#type: &'a str,
        object: &'a RawValue,
    }
    let path = format!("/v1/accounts/{ACCOUNT}/events");
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for definition in catalogue::built_in().iter().cycle() {
        ticks.tick().await;
        let object: &RawValue =
            serde_json::from_str(definition.example).context("an example is JSON")?;
        let event = NewEvent {
            r#type: definition.name,
            object,
        };
        if let Err(error) = api.send_json(Method::POST, &path, &event).await {
            print(&format!("publish refused: {error:#}"))?;
        }
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}
