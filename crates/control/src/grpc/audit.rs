//! `AuditService`.

use domain::audit::{Action, Entry, Via};
use domain::{AccountId, Problem, Reason, Timestamp};
use proto::status::from_problem;
use proto::time::{from_proto, to_proto};
use proto::v1::audit_service_server::AuditService;
use proto::v1::{AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse};
use store::AuditFilter;
use tonic::{Request, Response, Status};

use super::Service;
use crate::core::audit_word as word;

impl Service {
    async fn audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<ListAuditEntriesResponse, Problem> {
        let token = proto::metadata::bearer(request.metadata()).map(str::to_owned);
        let identity = self.0.authenticate(token.as_deref()).await?;
        let origin = proto::metadata::origin(Via::Grpc, request.extensions());
        let identity = identity.coming_from(origin);
        let message = request.into_inner();
        let filter = AuditFilter {
            account: match message.account.as_str() {
                "" => None,
                account => Some(AccountId::parse(account)?),
            },
            key_id: message.key_id,
            via: word("via", &message.via, Via::ALL, Via::as_str)?,
            action: word("action", &message.action, Action::ALL, Action::as_str)?,
            target: message.target,
            after: instant("after", message.after.as_ref())?,
            before: instant("before", message.before.as_ref())?,
        };
        let (size, token) = (Some(message.page_size), &message.page_token);
        let page = self.0.audit_log(&identity, &filter, size, token);
        let page = page.await?;
        Ok(ListAuditEntriesResponse {
            audit_entries: page.items.into_iter().map(entry).collect(),
            next_page_token: page.next_page_token,
            prev_page_token: page.prev_page_token,
        })
    }
}

fn instant(field: &str, at: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>, Problem> {
    at.map(|at| {
        let what = "use an instant within range";
        from_proto(at).ok_or_else(|| Problem::of_field(Reason::RequestMalformed, field, what))
    })
    .transpose()
}

fn entry(entry: Entry) -> AuditEntry {
    let account = entry.account.map(|account| account.to_string());
    let address = entry.origin.address.map(|address| address.to_string());
    AuditEntry {
        id: format!("aud_{}", entry.id),
        at: Some(to_proto(entry.at)),
        account: account.unwrap_or_default(),
        key_id: entry.key_id,
        via: entry.origin.via.to_string(),
        address: address.unwrap_or_default(),
        action: entry.action.to_string(),
        target: entry.target,
        detail: entry.detail,
    }
}

#[tonic::async_trait]
impl AuditService for Service {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let listed = self.audit_entries(request).await;
        listed
            .map(Response::new)
            .map_err(|problem| from_problem(&problem))
    }
}
