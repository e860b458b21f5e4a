//! Erasures.

use domain::Problem;
use domain::audit::Action;
use domain::key::Need;
use proto::v1::{Erasure, GetErasureRequest, StartErasureRequest};
use tonic::Request;

use super::{Service, database};
use crate::erasure::{not_found, scope, to_proto};

impl Service {
    pub(super) async fn begin_erasure(
        &self,
        request: Request<StartErasureRequest>,
    ) -> Result<Erasure, Problem> {
        let (identity, account) = self
            .open(&request, &request.get_ref().account, Need::Admin)
            .await?;
        let scope = scope(request.into_inner().what)?;
        let erasure = self.0.start_erasure(&account, &scope).await?;
        self.note(&identity, &account, Action::ErasureStarted, &erasure.id)
            .await;
        Ok(erasure)
    }

    pub(super) async fn erasure(
        &self,
        request: Request<GetErasureRequest>,
    ) -> Result<Erasure, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let id = request.get_ref().id.parse().map_err(|_| not_found())?;
        let found = self.0.deps.store.erasure(&account, id).await;
        let found = found.map_err(|error| database(&error))?;
        found.map(to_proto).ok_or_else(not_found)
    }
}
