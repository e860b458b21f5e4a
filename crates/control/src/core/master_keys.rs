//! Which master key seals, and sealing everything anew when that changes. The
//! key itself is the operator's; SQL knows its id, so that all processes of
//! control agree.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::audit::Action;
use domain::custom_headers;
use domain::key::{Identity, Need};
use domain::vault::Sealed;
use domain::{Problem, Reason};
use store::SealedRow;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::{Control, database, now};

/// Another process of control, or a command, may have changed it.
const LOOK: Duration = Duration::from_secs(2);
/// So many secrets are sealed anew in one transaction.
const BATCH: u32 = 100;
/// So many changes that are not told yet are counted.
const UNTOLD: u32 = 256;

/// What is under which master key.
#[derive(Debug)]
pub(crate) struct MasterKeysView {
    pub(crate) keys: Vec<MasterKeyView>,
    /// Changes that the dispatchers are not told of yet, 256 at most: what they
    /// have may still be sealed under an earlier key.
    pub(crate) untold: usize,
}

/// A master key, by its id.
#[derive(Debug)]
pub(crate) struct MasterKeyView {
    pub(crate) id: String,
    /// It seals.
    pub(crate) active: bool,
    /// This process has it.
    pub(crate) configured: bool,
    /// So many secrets and headers are sealed under it.
    pub(crate) sealed: u64,
}

impl Control {
    /// The master keys that are configured here or have sealed something.
    pub(crate) async fn master_keys(&self, identity: &Identity) -> Result<MasterKeysView, Problem> {
        identity.authorise_everywhere(Need::Admin)?;
        let registry = &self.0.deps.registry;
        let known = registry.master_keys().await;
        let known = known.map_err(|error| database(&error))?;
        let counts = registry.sealed_under().await;
        let counts = counts.map_err(|error| database(&error))?;
        let counts: BTreeMap<String, i64> = counts.into_iter().collect();
        // After the counts: what is sealed anew is marked by then.
        let untold = registry.marks(UNTOLD).await;
        let untold = untold.map_err(|error| database(&error))?.len();
        let keys = self.0.deps.vault.keys();
        let configured: Vec<String> = keys.iter().map(|key| key.id()).collect();
        let mut ids = configured.clone();
        ids.extend(counts.keys().filter(|id| !configured.contains(id)).cloned());
        let views = ids.into_iter().map(|id| MasterKeyView {
            active: known.first() == Some(&id),
            configured: configured.contains(&id),
            sealed: counts.get(&id).map_or(0, |count| count.unsigned_abs()),
            id,
        });
        Ok(MasterKeysView {
            keys: views.collect(),
            untold,
        })
    }

    /// Lets the newest configured key seal, and seals everything anew under it,
    /// from now on and in the background.
    pub(crate) async fn rotate_master_key(&self, identity: &Identity) -> Result<(), Problem> {
        identity.authorise_everywhere(Need::Admin)?;
        let known = self.0.deps.registry.master_keys().await;
        let known = known.map_err(|error| database(&error))?;
        let keys = self.0.deps.vault.keys();
        let unused = keys
            .iter()
            .rev()
            .map(|key| key.id())
            .find(|id| !known.contains(id));
        let Some(next) = unused else {
            let detail = "there is no master key that has not sealed yet; add one behind the \
                          others, in every process, and repeat the call";
            return Err(Problem::new(Reason::Conflict, detail));
        };
        let noting = self.noting(identity, None, Action::MasterKeyRotated, &next, "");
        let activated = noting.activate_master_key(&next, now(), true).await;
        activated.map_err(|error| database(&error))?;
        self.0.look_at_master_keys.notify_one();
        Ok(())
    }

    /// Follows which key seals, and seals anew what is under another, until
    /// `shutdown` is cancelled.
    pub(super) async fn follow_master_keys(&self, shutdown: &CancellationToken) {
        let mut done = None;
        let mut generation = self.0.deps.vault.generation();
        loop {
            let now = self.0.deps.vault.generation();
            if now != generation {
                // Before one of them seals: the roles' own key comes of it.
                match self.put_service_keys().await {
                    Ok(()) => generation = now,
                    Err(error) => debug!(%error, "the roles' own keys wait"),
                }
                self.0.marked.notify_one();
            }
            match self.agree_on_master_key().await {
                // Once for each change is enough: what is sealed later is sealed
                // under the key that seals.
                Ok(active) if done.as_ref() != Some(&active) => {
                    match self.seal_all(&active).await {
                        Ok(()) => done = Some(active),
                        Err(error) => debug!(%error, "sealing anew waits"),
                    }
                }
                Ok(_) => {}
                Err(error) => debug!(error, "the master key in use is not known"),
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.0.look_at_master_keys.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Seals with the key that SQL names; the first one ever is the first that
    /// is configured.
    pub(super) async fn agree_on_master_key(&self) -> Result<String, String> {
        let text = |error: store::Error| error.to_string();
        let (registry, vault) = (&self.0.deps.registry, &self.0.deps.vault);
        let mut known = registry.master_keys().await.map_err(text)?;
        if known.is_empty() {
            let first = vault.sealing().id();
            registry
                .activate_master_key(&first, now(), false)
                .await
                .map_err(text)?;
            known = registry.master_keys().await.map_err(text)?;
        }
        let active = known.into_iter().next().unwrap_or_default();
        let before = vault.sealing().id();
        if !vault.seal_with(&active) {
            return Err(format!(
                "the master key {active} seals this deployment's secrets and is not among the \
                 configured ones: add it to POSTRIDER_MASTER_KEY"
            ));
        }
        if before != active {
            info!(
                master_key = active,
                "secrets are sealed under another master key now"
            );
        }
        Ok(active)
    }

    async fn seal_all(&self, active: &str) -> Result<(), store::Error> {
        let registry = &self.0.deps.registry;
        for (id, _) in registry.sealed_under().await? {
            if id == active {
                continue;
            }
            let mut sealed = 0;
            loop {
                let rows = registry.sealed_by(&id, BATCH).await?;
                let anew: Vec<_> = rows.into_iter().filter_map(|row| self.anew(row)).collect();
                if anew.is_empty() {
                    break;
                }
                registry.seal_anew(&anew).await?;
                self.0.marked.notify_one();
                sealed += anew.len();
            }
            info!(from = id, to = active, sealed, "secrets are sealed anew");
        }
        Ok(())
    }

    fn anew(&self, row: SealedRow) -> Option<(SealedRow, Sealed)> {
        let owner = match row.number {
            Some(_) => row.endpoint.as_bytes().to_vec(),
            None => custom_headers::owner(row.endpoint),
        };
        let vault = &self.0.deps.vault;
        match vault.seal_anew(&row.sealed.bytes, &owner, rand::random()) {
            Ok(sealed) => Some((row, sealed)),
            Err(_) => {
                let (endpoint, key) = (row.endpoint, row.sealed.master_key_id);
                error!(%endpoint, "a secret stays under the master key {key}, which is not configured");
                None
            }
        }
    }
}
