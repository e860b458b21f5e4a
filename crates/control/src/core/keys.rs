//! API keys.

use std::time::Duration;

use domain::audit::Action;
use domain::key::{self, ApiKey, Identity, KeyRecord, Need, Scope};
use domain::page::{PageToken, page_size};
use domain::{AccountId, Problem, Reason, Timestamp};
use store::{KeyRow, Mark};
use uuid::Uuid;

use super::{Control, Page, database, now};

/// How long a revocation waits to be seen.
const CATCH_UP: Duration = Duration::from_secs(2);
const CONTEXT: &str = "keys";

/// A key to be.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) description: String,
    pub(crate) scope: String,
    pub(crate) account: Option<String>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// A key, shown once.
#[derive(Debug)]
pub(crate) struct CreatedKey {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// What is shown of a key later.
#[derive(Debug)]
pub(crate) struct KeyView {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) scope: &'static str,
    pub(crate) account: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) last_used_at: Option<Timestamp>,
}

impl Control {
    pub(crate) async fn create_key(
        &self,
        identity: &Identity,
        new: NewKey,
    ) -> Result<CreatedKey, Problem> {
        identity.authorise_everywhere(Need::Admin)?;
        let (scope, account) = check(&new)?;
        let (id, token) = ApiKey::generate(scope, rand::random());
        let mark = Mark::Key(id.clone());
        self.check_broker(&mark).await?;
        let row = KeyRow {
            record: KeyRecord {
                id: id.clone(),
                version: 1,
                hash: key::hash(&token),
                scope,
                account,
                expires_at: new.expires_at,
            },
            row_id: Uuid::now_v7(),
            description: new.description,
            created_at: now(),
            last_used_at: None,
        };
        let account = row.record.account.as_ref();
        self.noting(identity, account, Action::KeyCreated, &id, scope.as_str())
            .put_key(&row)
            .await
            .map_err(|error| database(&error))?;
        self.announce(&mark).await?;
        Ok(CreatedKey { id, key: token })
    }

    pub(crate) async fn list_keys(
        &self,
        identity: &Identity,
        size: Option<u32>,
        token: &str,
    ) -> Result<Page<KeyView>, Problem> {
        identity.authorise_everywhere(Need::Admin)?;
        let cursor = PageToken::decode_or_first(token, CONTEXT)?;
        let size = page_size(size);
        let found = self.0.deps.registry.keys(cursor.as_ref(), size + 1).await;
        let found = found.map_err(|error| database(&error))?;
        let place = |row: &KeyRow| (row.created_at.unix_millis(), row.row_id);
        let page = Page::assemble(found, size, cursor.as_ref(), CONTEXT, place);
        Ok(page.map(Into::into))
    }

    pub(crate) async fn key(&self, identity: &Identity, id: &str) -> Result<KeyView, Problem> {
        identity.authorise_everywhere(Need::Admin)?;
        let found = self.0.deps.registry.key(id).await;
        let row = found.map_err(|error| database(&error))?;
        row.map(Into::into).ok_or_else(no_such_key)
    }

    pub(crate) async fn delete_key(&self, identity: &Identity, id: &str) -> Result<(), Problem> {
        identity.authorise_everywhere(Need::Admin)?;
        let registry = &self.0.deps.registry;
        let found = registry.key(id).await.map_err(|error| database(&error))?;
        let found = found.ok_or_else(no_such_key)?;
        let mark = Mark::Key(id.to_owned());
        self.check_broker(&mark).await?;
        let account = found.record.account.as_ref();
        let noting = self.noting(identity, account, Action::KeyRevoked, id, "");
        let deleted = noting.delete_key(id, now()).await;
        if !deleted.map_err(|error| database(&error))? {
            return Err(no_such_key());
        }
        self.announce(&mark).await?;
        // So that the key does not open anything after the answer.
        let seen = self
            .0
            .deps
            .keys
            .catch_up(&self.0.deps.broker, CATCH_UP)
            .await;
        seen.map_err(|_| super::broker_down())
    }
}

impl From<KeyRow> for KeyView {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.record.id,
            description: row.description,
            scope: row.record.scope.as_str(),
            account: row.record.account.map(|account| account.to_string()),
            created_at: row.created_at,
            expires_at: row.record.expires_at,
            last_used_at: row.last_used_at,
        }
    }
}

fn no_such_key() -> Problem {
    let detail = "there is no key with this id; GET /v1/keys lists them";
    Problem::new(Reason::KeyNotFound, detail)
}

fn check(new: &NewKey) -> Result<(Scope, Option<AccountId>), Problem> {
    domain::endpoint::check_description(&new.description)
        .map_err(|violation| violation.into_problem(Reason::FieldInvalid))?;
    let scope = match new.scope.parse() {
        Ok(Scope::Service) | Err(_) => {
            let message = "use one of admin, publish, read";
            return Err(Problem::of_field(Reason::FieldInvalid, "scope", message));
        }
        Ok(scope) => scope,
    };
    if new.expires_at.is_some_and(|end| end <= now()) {
        let message = "use an instant that is still to come, or leave it out";
        return Err(Problem::of_field(
            Reason::FieldInvalid,
            "expires_at",
            message,
        ));
    }
    let account = new.account.as_deref().map(AccountId::parse).transpose();
    // In a body it is a field like any other.
    let account = account.map_err(|problem| Problem {
        reason: Reason::FieldInvalid,
        ..problem
    })?;
    Ok((scope, account))
}
