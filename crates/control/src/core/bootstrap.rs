//! What must be there before the first call: tables, the catalogue, the first
//! keys.

use std::time::Duration;

use domain::catalogue;
use domain::key::{self, ApiKey, KeyRecord, Scope};
use store::{EventTypeRow, KeyRow};
use tokio::time::sleep;
use tracing::{info, warn};
use uuid::Uuid;

use super::{Control, now};

const PAUSE: Duration = Duration::from_secs(1);

impl Control {
    /// Prepares everything, for as long as it takes.
    pub(super) async fn prepare(&self) {
        while let Err(error) = self.try_prepare().await {
            warn!(error, "control is not ready yet: trying again");
            sleep(PAUSE).await;
        }
        info!("the database is prepared and the directories agree with it");
    }

    async fn try_prepare(&self) -> Result<(), String> {
        let text = |error: store::Error| error.to_string();
        self.0.deps.registry.pool().prepare().await.map_err(text)?;
        self.seed_catalogue().await.map_err(text)?;
        self.agree_on_master_key().await?;
        self.put_service_keys().await.map_err(text)?;
        self.put_admin_key().await.map_err(text)?;
        self.reconcile().await
    }

    async fn seed_catalogue(&self) -> Result<(), store::Error> {
        let known = self.0.deps.registry.all_event_types().await?;
        for definition in catalogue::built_in().iter().chain(catalogue::operational()) {
            if known.iter().any(|name| name.as_str() == definition.name) {
                continue;
            }
            let row = EventTypeRow {
                id: Uuid::now_v7(),
                name: domain::EventType::parse(definition.name)
                    .expect("the catalogue's names are tested"),
                description: definition.description.to_owned(),
                schema: definition.schema.to_owned(),
                example: definition.example.to_owned(),
                created_at: now(),
            };
            match self.0.deps.registry.create_event_type(&row).await {
                // Another process was faster.
                Ok(()) | Err(store::Error::Exists) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One for each master key, since another process may show one that comes of
    /// another key; those of keys that neither seal nor are configured go.
    pub(super) async fn put_service_keys(&self) -> Result<(), store::Error> {
        let row_id = Uuid::from_u128(1);
        let keys = self.0.deps.vault.keys();
        let keys: Vec<_> = keys.iter().map(ApiKey::service).collect();
        for (id, token) in &keys {
            self.put_own_key(id, token, Scope::Service, row_id).await?;
        }
        let held: Vec<&str> = keys.iter().map(|(id, _)| id.as_str()).collect();
        let registry = &self.0.deps.registry;
        registry.delete_service_keys_but(&held).await.map(drop)
    }

    async fn put_admin_key(&self) -> Result<(), store::Error> {
        let Some(admin) = &self.0.config.admin_key else {
            return Ok(());
        };
        let Some(id) = key::lookup_id(admin) else {
            return Ok(());
        };
        if self.0.deps.registry.is_revoked(&id).await? {
            warn!(
                key = id,
                "the key in POSTRIDER_ADMIN_KEY has been revoked and stays so: give another one, \
                 or none"
            );
            return Ok(());
        }
        self.put_own_key(&id, admin, Scope::Admin, KeyRow::BOOTSTRAP)
            .await?;
        self.0
            .deps
            .registry
            .delete_earlier_bootstrap_keys(&id)
            .await
            .map(|_| ())
    }

    async fn put_own_key(
        &self,
        id: &str,
        token: &str,
        scope: Scope,
        row_id: Uuid,
    ) -> Result<(), store::Error> {
        let hash = key::hash(token);
        let known = self.0.deps.registry.key(id).await?;
        if known.is_some_and(|known| known.record.hash == hash && known.record.scope == scope) {
            return Ok(());
        }
        let record = KeyRecord {
            id: id.to_owned(),
            version: 1,
            hash,
            scope,
            account: None,
            expires_at: None,
        };
        let description = match scope {
            Scope::Admin => "POSTRIDER_ADMIN_KEY".to_owned(),
            _ => "the roles among themselves".to_owned(),
        };
        let row = KeyRow {
            record,
            row_id,
            description,
            created_at: now(),
            last_used_at: None,
        };
        self.0.deps.registry.put_key(&row).await
    }
}
