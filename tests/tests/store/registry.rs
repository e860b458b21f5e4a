//! Endpoints and keys, and the marks that their changes leave.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::custom_headers::SealedHeaders;
use domain::delivery_policy::DeliveryPolicyChange;
use domain::key::{KeyRecord, Scope};
use domain::vault::SealedSecret;
use domain::{AccountId, DeliveryPolicy, EndpointId, EventType, Timestamp, Verification};
use harness::suite::Scenario;
use store::{EndpointUpdate, KeyRow, Mark, NewEndpoint, Pool, Registry};
use uuid::Uuid;

pub(crate) fn scenarios() -> Vec<Scenario<Pool>> {
    harness::scenarios![
        every_change_raises_the_version_and_leaves_a_mark,
        a_command_for_an_older_version_changes_nothing,
        a_mark_left_anew_is_not_removed,
        one_old_secret_is_kept_at_most,
        a_policy_is_kept_until_it_is_cleared,
        a_changed_bootstrap_key_replaces_the_earlier_one,
    ]
}

fn now() -> Timestamp {
    Timestamp::from_unix_millis(1_747_147_674_000)
}

fn secret(text: &'static str) -> SealedSecret {
    SealedSecret {
        master_key_id: "0".to_owned(),
        sealed: bytes::Bytes::from_static(text.as_bytes()),
        valid_until: None,
    }
}

async fn endpoint(registry: &Registry) -> Result<(AccountId, EndpointId)> {
    let new = NewEndpoint {
        id: EndpointId::new(),
        account: AccountId::parse("acme")?,
        url: "https://example.com".to_owned(),
        description: "d".to_owned(),
        event_types: vec![EventType::parse("a.b")?, EventType::parse("c")?],
        verification: Verification::NotRequired,
        rate_limit: Some(10_000),
        policy: DeliveryPolicy::default(),
        secret: secret("first"),
        created_at: now(),
    };
    let made = registry.create_endpoint(&new).await?;
    ensure!(
        made.endpoint.version == 1 && made.endpoint.generation == 0,
        "{made:?}"
    );
    ensure!(made.endpoint.event_types == new.event_types, "{made:?}");
    ensure!(
        made.endpoint.rate_limit == Some(10_000) && !made.endpoint.disabled,
        "{made:?}"
    );
    Ok((new.account, new.id))
}

fn disable(reason: &str) -> EndpointUpdate {
    EndpointUpdate {
        disabled: Some(Some(reason.to_owned())),
        ..EndpointUpdate::default()
    }
}

async fn every_change_raises_the_version_and_leaves_a_mark(pool: Pool) -> Result<()> {
    let registry = Registry::new(pool);
    let (account, id) = endpoint(&registry).await?;
    let mark = Mark::Endpoint(account.clone(), id);
    let first = registry
        .mark(&mark)
        .await?
        .context("a mark of the creation")?;
    registry.unmark(&mark, first).await?;
    let changed = registry
        .update_endpoint(&account, id, &disable("why"), None, now())
        .await?;
    let changed = changed.context("it is there")?.endpoint;
    ensure!(
        (changed.version, changed.generation) == (2, 1),
        "{changed:?}"
    );
    let again = registry
        .update_endpoint(&account, id, &disable("again"), None, now())
        .await?;
    let again = again.context("it is there")?.endpoint;
    ensure!(
        (again.version, again.generation) == (3, 1),
        "disabled once: {again:?}"
    );
    ensure!(
        registry.mark(&mark).await?.is_some(),
        "a mark of the change"
    );
    let other = AccountId::parse("other")?;
    ensure!(
        registry.endpoint(&other, id).await?.is_none(),
        "another account's"
    );
    ensure!(
        !registry.delete_endpoint(&other, id).await?,
        "another account's"
    );
    ensure!(registry.delete_endpoint(&account, id).await?, "it is there");
    ensure!(!registry.delete_endpoint(&account, id).await?, "it is gone");
    ensure!(
        registry.endpoint(&account, id).await?.is_none(),
        "it is gone"
    );
    Ok(())
}

async fn a_command_for_an_older_version_changes_nothing(pool: Pool) -> Result<()> {
    let registry = Registry::new(pool);
    let (account, id) = endpoint(&registry).await?;
    let update = EndpointUpdate {
        rate_limit: Some(None),
        ..EndpointUpdate::default()
    };
    registry
        .update_endpoint(&account, id, &update, None, now())
        .await?;
    let old = registry
        .update_endpoint(&account, id, &disable("old"), Some(1), now())
        .await?;
    ensure!(old.is_none(), "{old:?}");
    let row = registry
        .endpoint(&account, id)
        .await?
        .context("it is there")?
        .endpoint;
    ensure!(
        row.version == 2 && !row.disabled && row.rate_limit.is_none(),
        "{row:?}"
    );
    let done = registry
        .update_endpoint(&account, id, &disable("now"), Some(2), now())
        .await?;
    ensure!(
        done.is_some_and(|row| row.endpoint.disabled_reason == "now"),
        "it was not disabled"
    );
    Ok(())
}

async fn a_mark_left_anew_is_not_removed(pool: Pool) -> Result<()> {
    let registry = Registry::new(pool);
    let mark = Mark::Key("left-anew".to_owned());
    registry.leave_marks(std::slice::from_ref(&mark)).await?;
    let old = registry.mark(&mark).await?.context("a mark")?;
    registry.leave_marks(std::slice::from_ref(&mark)).await?;
    registry.unmark(&mark, old).await?;
    let new = registry.mark(&mark).await?.context("it was left anew")?;
    registry.unmark(&mark, new).await?;
    ensure!(registry.mark(&mark).await?.is_none(), "it is still there");
    Ok(())
}

async fn one_old_secret_is_kept_at_most(pool: Pool) -> Result<()> {
    let registry = Registry::new(pool);
    let (account, id) = endpoint(&registry).await?;
    let until = Timestamp::from_unix_millis(2_000_000_000_000);
    let mut kept = Vec::new();
    for (text, grace) in [
        ("second", Some(until)),
        ("third", Some(until)),
        ("fourth", None),
    ] {
        let update = EndpointUpdate {
            secret: Some((secret(text), grace)),
            ..EndpointUpdate::default()
        };
        let row = registry
            .update_endpoint(&account, id, &update, None, now())
            .await?;
        let secrets = row.context("it is there")?.endpoint.secrets;
        let told = secrets
            .iter()
            .map(|one| (one.sealed.to_vec(), one.valid_until));
        kept.push(told.collect::<Vec<_>>());
    }
    ensure!(
        kept[0] == [(b"second".to_vec(), None), (b"first".to_vec(), Some(until))],
        "{kept:?}"
    );
    ensure!(
        kept[1] == [(b"third".to_vec(), None), (b"second".to_vec(), Some(until))],
        "{kept:?}"
    );
    ensure!(kept[2] == [(b"fourth".to_vec(), None)], "{kept:?}");
    Ok(())
}

async fn a_policy_is_kept_until_it_is_cleared(pool: Pool) -> Result<()> {
    let registry = Registry::new(pool);
    let (account, id) = endpoint(&registry).await?;
    let change = async |policy| {
        let update = EndpointUpdate {
            policy,
            ..EndpointUpdate::default()
        };
        let row = registry
            .update_endpoint(&account, id, &update, None, now())
            .await?;
        row.context("it is there")
    };
    let headers = SealedHeaders {
        master_key_id: "0".to_owned(),
        sealed: bytes::Bytes::from_static(b"\0sealed"),
    };
    let set = DeliveryPolicyChange {
        retry_schedule: Some(Some("".parse()?)),
        timeout: Some(Some(Duration::from_secs(30))),
        max_concurrency: Some(Some(256)),
        headers: Some(Some(headers.clone())),
        send_traceparent: Some(false),
    };
    let expected = DeliveryPolicy {
        retry_schedule: Some("".parse()?),
        timeout: Some(Duration::from_secs(30)),
        max_concurrency: Some(256),
        headers: Some(headers),
        send_traceparent: false,
    };
    let row = change(set).await?;
    ensure!(row.endpoint.policy == expected, "{row:?}");
    let row = change(DeliveryPolicyChange::default()).await?;
    ensure!(row.endpoint.policy == expected, "{row:?}");
    let listed = registry.endpoints(&account, None, 100).await?;
    let listed = listed.into_iter().find(|row| row.endpoint.id == id);
    ensure!(
        listed.is_some_and(|row| row.endpoint.policy == expected),
        "a list shows it too"
    );
    let row = change(DeliveryPolicyChange {
        retry_schedule: Some(None),
        timeout: Some(None),
        max_concurrency: Some(None),
        headers: Some(None),
        send_traceparent: Some(true),
    })
    .await?;
    ensure!(row.endpoint.policy == DeliveryPolicy::default(), "{row:?}");
    Ok(())
}

async fn a_changed_bootstrap_key_replaces_the_earlier_one(pool: Pool) -> Result<()> {
    let registry = Registry::new(pool);
    let key = |id: &str, row_id| KeyRow {
        record: KeyRecord {
            id: id.to_owned(),
            version: 1,
            hash: [7; 32],
            scope: Scope::Admin,
            account: None,
            expires_at: None,
        },
        row_id,
        description: "a key".to_owned(),
        created_at: now(),
        last_used_at: None,
    };
    registry.put_key(&key("earlier", KeyRow::BOOTSTRAP)).await?;
    registry
        .put_key(&key("of-a-person", Uuid::now_v7()))
        .await?;
    registry.put_key(&key("later", KeyRow::BOOTSTRAP)).await?;
    let revoked = registry.delete_earlier_bootstrap_keys("later").await?;
    ensure!(revoked == ["earlier"], "{revoked:?}");
    ensure!(registry.key("earlier").await?.is_none(), "it still holds");
    ensure!(
        registry.key("of-a-person").await?.is_some(),
        "it is a person's"
    );
    registry.put_key(&key("later", KeyRow::BOOTSTRAP)).await?;
    let later = registry.key("later").await?.context("it is there")?;
    ensure!(
        later.record.version == 2,
        "a key put again has a later version: {later:?}"
    );
    for id in ["of-a-person", "later"] {
        ensure!(!registry.is_revoked(id).await?, "{id} holds");
        ensure!(registry.delete_key(id, now()).await?, "{id} is there");
        ensure!(!registry.delete_key(id, now()).await?, "{id} is gone");
    }
    ensure!(
        registry.is_revoked("later").await?,
        "it would come back with the next start"
    );
    ensure!(
        !registry.is_revoked("of-a-person").await?,
        "nobody would make that one again"
    );
    Ok(())
}
