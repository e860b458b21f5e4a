//! The audit log: who changed what, when and from where.

use std::time::Duration;

use domain::audit::{Action, Entry};
use domain::key::{Identity, Need};
use domain::page::{PageToken, check_span, page_size};
use domain::{AccountId, Problem, Reason};
use store::{AuditFilter, Registry};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Control, Page, database, now};

/// Longer than a year, so that a yearly review finds all of it.
const KEPT: Duration = Duration::from_secs(400 * 86_400);
/// Old entries are looked for that often.
const EXPIRY: Duration = Duration::from_secs(3_600);

impl Control {
    /// The tables; the change that is made through them is noted as what
    /// `identity` does.
    pub(super) fn noting(
        &self,
        identity: &Identity,
        account: Option<&AccountId>,
        action: Action,
        target: &str,
        detail: &str,
    ) -> Registry {
        let mut entry = Entry::new(identity, action, target, now()).detail(detail);
        entry.account = account.cloned();
        self.0.deps.registry.noting(entry)
    }

    /// Notes what was done through another role, or changes no table. It is done
    /// already: a database that does not answer cannot undo it.
    pub(crate) async fn note(
        &self,
        identity: &Identity,
        account: Option<&AccountId>,
        action: Action,
        target: &str,
    ) {
        let mut entry = Entry::new(identity, action, target, now());
        entry.account = account.cloned();
        if let Err(error) = self.0.deps.registry.note(&entry).await {
            warn!(%error, %action, target, key_id = entry.key_id, "an action is not in the audit log");
        }
    }

    /// What was done in the filter's account, or everywhere, newest first.
    pub(crate) async fn audit_log(
        &self,
        identity: &Identity,
        filter: &AuditFilter,
        size: Option<u32>,
        token: &str,
    ) -> Result<Page<Entry>, Problem> {
        match &filter.account {
            Some(account) => identity.authorise(account, Need::Read)?,
            None => identity.authorise_everywhere(Need::Read)?,
        }
        check_span(filter.after, filter.before)?;
        let context = context(filter);
        let cursor = PageToken::decode_or_first(token, &context)?;
        let size = page_size(size);
        let registry = &self.0.deps.registry;
        let found = registry.audit_entries(filter, cursor.as_ref(), size + 1);
        let found = found.await.map_err(|error| database(&error))?;
        let place = |entry: &Entry| (entry.at.unix_millis(), entry.id);
        let page = Page::assemble(found.rows, size, cursor.as_ref(), &context, place);
        Ok(page.ended_at(found.ended_at, cursor.as_ref(), &context))
    }

    /// Removes what is older than [`KEPT`], again and again.
    pub(super) async fn expire_audit_for_ever(&self, shutdown: &CancellationToken) {
        loop {
            let end = now().minus(KEPT);
            loop {
                match self.0.deps.registry.expire_audit(end).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        debug!(%error, "old audit entries stay a while");
                        break;
                    }
                }
            }
            tokio::select! {
                () = sleep(EXPIRY) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// Names the list, so that its tokens are of no other. The time is left out: the
/// last hour is another one at each page.
fn context(filter: &AuditFilter) -> String {
    let filter = AuditFilter {
        after: None,
        before: None,
        ..filter.clone()
    };
    format!("audit {filter:?}")
}

/// Reads one of a few words; empty is none.
///
/// # Errors
///
/// Names the words that there are.
pub(crate) fn word<T: Copy>(
    field: &str,
    text: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let found = all.iter().copied().find(|one| name(*one) == text);
    found.map(Some).ok_or_else(|| {
        let words: Vec<_> = all.iter().copied().map(name).collect();
        let what = format!("use one of {}", words.join(", "));
        Problem::of_field(Reason::RequestMalformed, field, what)
    })
}
