//! Every method that reflection tells of, and those that only the roles call.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use harness::deployment::Deployment;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::raw::{self, Method};
use super::world::{Ids, Key, OWN, THEIRS, World};

/// Which role answers a service.
fn role(path: &str) -> &'static str {
    match path.split(['/', '.']).nth(3).unwrap_or_default() {
        "HistoryService" => "history",
        "IngestService" | "OwnEventService" => "ingest",
        _ => "control",
    }
}

/// The scope that a method needs.
fn need(method: &Method) -> &'static str {
    let begins = |words: &[&str]| words.iter().any(|word| method.name.starts_with(word));
    match method.name.as_str() {
        "GetEndpointSecret" => "admin",
        _ if method.path.contains("OwnEventService") => "service",
        _ if begins(&["Publish", "StreamEvents"]) => "publish",
        _ if begins(&["Get", "List", "BatchGet", "Tail"]) => "read",
        _ => "admin",
    }
}

/// A request of the method for `account`; what it names is one of `ids`.
fn request(method: &Method, account: &str, ids: &Ids) -> Vec<u8> {
    let thing = [
        "Endpoint", "Event", "Delivery", "Attempt", "Replay", "Erasure",
    ]
    .into_iter()
    .find(|thing| method.name.contains(thing))
    .unwrap_or_default();
    method.request(&|field| match field {
        "account" => Some(account.to_owned()),
        "id" if need(method) != "publish" => ids.of(&thing.to_lowercase()).map(str::to_owned),
        "type" | "event_type" => Some("message.report".to_owned()),
        // The trace is the publisher's.
        "trace_id" => None,
        _ if field.ends_with("_id") || field.ends_with("_ids") => ids.of(field).map(str::to_owned),
        _ => None,
    })
}

async fn methods(deployment: &Deployment) -> Result<Vec<Method>> {
    let mut methods = Vec::new();
    for role in ["control", "ingest", "history"] {
        for method in raw::reflected(&deployment.grpc(role)).await? {
            if !methods
                .iter()
                .any(|known: &Method| known.path == method.path)
            {
                methods.push(method);
            }
        }
    }
    ensure!(methods.len() >= 25, "reflection does not tell of all");
    // What is not told of can be called all the same.
    let all = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET)?;
    for method in all.file.iter().flat_map(raw::of_file) {
        let known = methods.iter().any(|known| known.path == method.path);
        if method.path.starts_with("/postrider.") && !known {
            methods.push(method);
        }
    }
    Ok(methods)
}

async fn call(
    deployment: &Deployment,
    method: &Method,
    token: Option<&str>,
    account: &str,
    ids: &Ids,
) -> Result<Result<Bytes, Status>> {
    let url = deployment.grpc(role(&method.path));
    raw::call(&url, &method.path, token, request(method, account, ids)).await
}

/// The reason of a refusal: the call's, or the first item's.
fn reason(said: &Result<Bytes, Status>) -> String {
    match said {
        Err(status) => {
            let details = status.get_error_details();
            details
                .error_info()
                .map(|info| info.reason.clone())
                .unwrap_or_default()
        }
        Ok(message) => {
            let text = String::from_utf8_lossy(message);
            let codes = ["ACCOUNT_NOT_FOUND", "SCOPE_INSUFFICIENT"];
            let found = codes.iter().find(|code| text.contains(**code));
            found.map(|code| (*code).to_owned()).unwrap_or_default()
        }
    }
}

fn is_refused(said: &Result<Bytes, Status>, code: Code, wanted: &str) -> bool {
    said.as_ref().is_err_and(|status| status.code() == code) && reason(said) == wanted
}

pub(super) async fn every_method_keeps_to_its_key(deployment: Arc<Deployment>) -> Result<()> {
    let world = World::make(&deployment).await?;
    let ids = Ids::nowhere();
    for method in methods(&deployment).await? {
        let path = &method.path;
        let without = call(&deployment, &method, None, THEIRS, &ids).await?;
        ensure!(
            is_refused(&without, Code::Unauthenticated, "KEY_INVALID"),
            "{path} without a key: {without:?}"
        );
        let token = Some(world.revoked.token.as_str());
        let revoked = call(&deployment, &method, token, THEIRS, &ids).await?;
        ensure!(
            is_refused(&revoked, Code::Unauthenticated, "KEY_INVALID"),
            "{path}, a revoked key: {revoked:?}"
        );
        for key in &world.scoped {
            let said = call(&deployment, &method, Some(&key.token), THEIRS, &ids).await?;
            check_scope(&method, key, &said)?;
        }
        let mine = Some(world.bound[0].token.as_str());
        let said = call(&deployment, &method, mine, THEIRS, &ids).await?;
        // Who may raise what is looked at first where only roles call.
        let wanted = ["ACCOUNT_NOT_FOUND", "SCOPE_INSUFFICIENT"];
        ensure!(
            wanted.contains(&reason(&said).as_str()),
            "{path}, another account's key: {said:?}"
        );
    }
    Ok(())
}

fn check_scope(method: &Method, key: &Key, said: &Result<Bytes, Status>) -> Result<()> {
    let need = need(method);
    let may = key.scope == need || (key.scope == "admin" && need != "service");
    let right = if may {
        let code = said.as_ref().err().map(Status::code);
        let refused = [
            Code::Unauthenticated,
            Code::PermissionDenied,
            Code::Unimplemented,
        ];
        !code.is_some_and(|code| refused.contains(&code)) && reason(said) != "SCOPE_INSUFFICIENT"
    } else {
        is_refused(said, Code::PermissionDenied, "SCOPE_INSUFFICIENT")
    };
    let (path, scope) = (&method.path, key.scope);
    ensure!(
        right,
        "{path} needs {need}, the key's scope is {scope}: {said:?}"
    );
    Ok(())
}

pub(super) async fn no_method_tells_what_others_have(deployment: Arc<Deployment>) -> Result<()> {
    let world = World::make(&deployment).await?;
    let nowhere = Ids::nowhere();
    let mine = Some(world.bound[0].token.as_str());
    for method in methods(&deployment).await? {
        // Publishing names nothing that is there, and an erasure of nothing is one.
        if need(&method) == "publish" {
            continue;
        }
        let makes = method.name == "StartErasure";
        let accounts: &[&str] = if makes { &[THEIRS] } else { &[THEIRS, OWN] };
        for account in accounts.iter().copied() {
            let there = call(&deployment, &method, mine, account, &world.theirs).await?;
            let not_there = call(&deployment, &method, mine, account, &nowhere).await?;
            let path = &method.path;
            ensure!(
                comparable(&there, &world.theirs) == comparable(&not_there, &nowhere),
                "{path} in {account}: {there:?}, {not_there:?}"
            );
            let names =
                request(&method, account, &nowhere) != request(&method, account, &world.theirs);
            let lists = method.name.starts_with("List") || method.name.starts_with("BatchGet");
            ensure!(
                there.is_err() || (account == OWN && (lists || !names)),
                "{path} in {account} answers: {there:?}"
            );
        }
    }
    Ok(())
}

/// All that is said, but for ids.
fn comparable(said: &Result<Bytes, Status>, ids: &Ids) -> (i32, String) {
    let (code, text) = match said {
        Ok(message) => (0, String::from_utf8_lossy(message).into_owned()),
        Err(status) => {
            let details = String::from_utf8_lossy(status.details());
            let text = format!("{} {details}", status.message());
            (status.code().into(), text)
        }
    };
    (code, ids.removed_from(&text))
}
