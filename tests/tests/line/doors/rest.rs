//! Every operation of the OpenAPI document.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use reqwest::Method;
use serde_json::{Value, json};

use super::world::{Ids, Key, OWN, THEIRS, World};

/// Operations whose answer names what they have just made.
const MAKING: [&str; 2] = ["createPortalSession", "startErasure"];

/// An operation as the document has it.
#[derive(Debug)]
struct Operation {
    id: String,
    method: Method,
    path: String,
    /// The scope that it names; `None`: any key does.
    need: Option<String>,
    /// The parameters of the query that name something by its id.
    ids_in_query: Vec<String>,
}

/// What came back, as far as it may not differ.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: u16,
    body: String,
}

impl Said {
    fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Operation {
    fn names_something(&self) -> bool {
        self.path.contains("/{id}") || !self.ids_in_query.is_empty() || self.id == "resendEvent"
    }

    fn is_of_an_account(&self) -> bool {
        self.path.contains("{account}")
    }

    /// Its address for `account`; what is named there is one of `ids`.
    fn address(&self, account: &str, ids: &Ids) -> Result<String> {
        let mut path = self.path.replace("{account}", account);
        if let Some((before, _)) = self.path.split_once("/{id}") {
            let kind = before.rsplit('/').next().unwrap_or_default();
            let id = ids
                .of(kind)
                .with_context(|| format!("{}: {kind}", self.id))?;
            path = path.replace("{id}", id);
        }
        let mut query = Vec::new();
        for name in &self.ids_in_query {
            let id = ids
                .of(name)
                .with_context(|| format!("{}: {name}", self.id))?;
            query.push(format!("{name}={id}"));
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        Ok(path)
    }

    /// A body that is right, so that only who calls and for what matters.
    fn body(&self, ids: &Ids) -> Option<Value> {
        Some(match self.id.as_str() {
            "resendEvent" => json!({"endpoint_id": ids.endpoint}),
            "startErasure" => json!({"event_id": ids.event}),
            "startReplay" => json!({"after": "2026-01-01T00:00:00Z",
                "before": "2026-01-02T00:00:00Z", "status": "all", "dry_run": true}),
            "sendTestEvent" => json!({"event_type": "message.report"}),
            "updateEndpoint" => json!({"description": "changed"}),
            _ if self.method == Method::GET || self.method == Method::DELETE => return None,
            _ => json!({}),
        })
    }
}

fn operations(document: &Value) -> Result<Vec<Operation>> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().context("paths")? {
        for (method, operation) in item.as_object().context("operations")? {
            let id = operation["operationId"].as_str().context("an id")?;
            let scopes = operation["security"][0]["key"].as_array();
            let scopes = scopes.with_context(|| format!("{id} does not say who may call it"))?;
            let query = operation["parameters"].as_array().into_iter().flatten();
            let query = query
                .filter(|one| one["in"] == "query")
                .filter_map(|one| one["name"].as_str())
                // A trace is the publisher's, not the account's.
                .filter(|name| name.ends_with("_id") && *name != "trace_id");
            operations.push(Operation {
                id: id.to_owned(),
                method: method.to_uppercase().parse()?,
                path: path.clone(),
                need: scopes.first().and_then(Value::as_str).map(str::to_owned),
                ids_in_query: query.map(str::to_owned).collect(),
            });
        }
    }
    ensure!(operations.len() >= 30, "the document is not whole");
    Ok(operations)
}

async fn served(deployment: &Deployment) -> Result<Vec<Operation>> {
    let url = format!("{}/openapi.json", deployment.http());
    operations(&reqwest::get(url).await?.json().await?)
}

async fn call(
    deployment: &Deployment,
    operation: &Operation,
    token: Option<&str>,
    account: &str,
    ids: &Ids,
) -> Result<Said> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}{}", deployment.http(), operation.address(account, ids)?);
    let mut request = client.request(operation.method.clone(), url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = operation.body(ids) {
        request = request.json(&body);
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    // An answer that does not end is an answer.
    let endless = operation.id.starts_with("tail") && status == 200;
    let body = if endless {
        String::new()
    } else {
        response.text().await?
    };
    Ok(Said { status, body })
}

pub(super) async fn every_route_keeps_to_its_key(deployment: Arc<Deployment>) -> Result<()> {
    let world = World::make(&deployment).await?;
    let ids = Ids::nowhere();
    for operation in served(&deployment).await? {
        let id = &operation.id;
        let ask = |token: Option<String>| {
            let (deployment, operation, ids) = (&deployment, &operation, &ids);
            async move { call(deployment, operation, token.as_deref(), THEIRS, ids).await }
        };
        let without = ask(None).await?;
        ensure!(
            without.status == 401 && without.code() == "KEY_INVALID",
            "{id} without a key: {without:?}"
        );
        let revoked = ask(Some(world.revoked.token.clone())).await?;
        ensure!(revoked == without, "{id}, a revoked key: {revoked:?}");
        for key in &world.scoped {
            let said = ask(Some(key.token.clone())).await?;
            check_scope(&operation, key, &said)?;
        }
        for key in &world.bound {
            let said = ask(Some(key.token.clone())).await?;
            if operation.is_of_an_account() {
                let right = said.status == 404 && said.code() == "ACCOUNT_NOT_FOUND";
                ensure!(right, "{id}, another account's {}: {said:?}", key.scope);
            } else if operation.need.is_some() {
                let right = said.status == 403 && said.code() == "SCOPE_INSUFFICIENT";
                ensure!(right, "{id}, an account's {}: {said:?}", key.scope);
            }
        }
    }
    Ok(())
}

fn check_scope(operation: &Operation, key: &Key, said: &Said) -> Result<()> {
    let need = operation.need.as_deref();
    let may = need.is_none_or(|need| key.scope == need || key.scope == "admin");
    let refused = said.status == 403 && said.code() == "SCOPE_INSUFFICIENT";
    let opened = !matches!(said.status, 401 | 403 | 500..);
    let (id, scope) = (&operation.id, key.scope);
    ensure!(
        if may { opened } else { refused },
        "{id} needs {need:?}, the key's scope is {scope}: {said:?}"
    );
    Ok(())
}

pub(super) async fn no_route_tells_what_others_have(deployment: Arc<Deployment>) -> Result<()> {
    let world = World::make(&deployment).await?;
    let nowhere = Ids::nowhere();
    let admin = Some(world.bound[0].token.as_str());
    for operation in served(&deployment).await? {
        if !operation.is_of_an_account() {
            continue;
        }
        let id = &operation.id;
        // In the other account, and theirs in the own one.
        for account in [THEIRS, OWN] {
            let there = call(&deployment, &operation, admin, account, &world.theirs).await?;
            let not_there = call(&deployment, &operation, admin, account, &nowhere).await?;
            let same = there.status == not_there.status
                && world.theirs.removed_from(&there.body) == nowhere.removed_from(&not_there.body);
            // Each call of these makes something new, here as there.
            let made = account == OWN && MAKING.contains(&id.as_str());
            let alike = if made {
                there.status == not_there.status
            } else {
                same
            };
            ensure!(alike, "{id} in {account}: {there:?}, {not_there:?}");
            if account == THEIRS {
                ensure!(there.status == 404, "{id}: {there:?}");
            } else if operation.names_something() {
                let empty = there.status == 200 && operation.method == Method::GET;
                ensure!(there.status == 404 || empty, "{id}: {there:?}");
            }
        }
    }
    untouched(&world).await
}

/// Nothing that was tried has changed what the other account has.
async fn untouched(world: &World) -> Result<()> {
    let endpoint = &world.theirs.endpoint;
    let path = format!("/v1/accounts/{THEIRS}/endpoints/{endpoint}");
    let found = world.api.get(&path).await?;
    ensure!(
        found["status"] == "active" && found["description"] == "a test",
        "{found}"
    );
    let path = format!("/v1/accounts/{THEIRS}/events/{}", world.theirs.event);
    let event = world.api.get(&path).await?;
    ensure!(!event["body"].is_null(), "{event}");
    Ok(())
}
