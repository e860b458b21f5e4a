//! Replays, tails, and the way from a delivery to its event.

use domain::audit::Action;
use domain::key::Need;
use domain::{AccountId, Problem, Reason, ReplayId};
use proto::v1::{
    CancelReplayRequest, DeliveryDetail, GetDeliveryRequest, GetReplayRequest, Replay,
    StartReplayRequest, TailAttemptsRequest,
};
use store::ReplayRow;
use tonic::Request;

use super::{Service, database, endpoint_not_found};
use crate::filters::instant;
use crate::jobs::now;
use crate::replay::{Asked, not_found, to_proto};
use crate::tail::{Place, Tail};
use crate::{convert, tail};

fn delivery_not_found() -> Problem {
    let detail = "this account has no delivery with this id; one that was made a moment ago may \
                  not be recorded yet";
    Problem::new(Reason::DeliveryNotFound, detail)
}

impl Service {
    pub(super) async fn begin_replay(
        &self,
        request: Request<StartReplayRequest>,
    ) -> Result<Replay, Problem> {
        let (identity, account) = self
            .open(&request, &request.get_ref().account, Need::Admin)
            .await?;
        let message = request.into_inner();
        let id = message
            .endpoint_id
            .parse()
            .map_err(|_| endpoint_not_found())?;
        self.see_endpoints().await;
        let endpoint = self.endpoint(&account, id)?;
        let asked = Asked {
            after: instant("after", message.after.as_ref())?,
            before: instant("before", message.before.as_ref())?,
            status: message.status,
            event_types: message.event_types,
            dry_run: message.dry_run,
        };
        let replay = self.0.start_replay(&account, &endpoint, asked).await?;
        // A dry run changes nothing.
        if !message.dry_run {
            self.note(&identity, &account, Action::ReplayStarted, &replay.id)
                .await;
        }
        Ok(replay)
    }

    pub(super) async fn replay(
        &self,
        request: Request<GetReplayRequest>,
    ) -> Result<Replay, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        self.see_endpoints().await;
        let id = request.get_ref().id.parse().map_err(|_| not_found())?;
        self.find_replay(&account, id).await.map(to_proto)
    }

    pub(super) async fn stop_replay(
        &self,
        request: Request<CancelReplayRequest>,
    ) -> Result<Replay, Problem> {
        let (identity, account) = self
            .open(&request, &request.get_ref().account, Need::Admin)
            .await?;
        self.see_endpoints().await;
        let id = request.get_ref().id.parse().map_err(|_| not_found())?;
        self.find_replay(&account, id).await?;
        let cancelled = self.0.deps.store.cancel_replay(&account, id).await;
        cancelled.map_err(|error| database(&error))?;
        let (action, target) = (Action::ReplayCancelled, &request.get_ref().id);
        self.note(&identity, &account, action, target).await;
        self.find_replay(&account, id).await.map(to_proto)
    }

    /// A replay whose endpoint is not deleted.
    async fn find_replay(&self, account: &AccountId, id: ReplayId) -> Result<ReplayRow, Problem> {
        let found = self.0.deps.store.replay(account, id).await;
        found
            .map_err(|error| database(&error))?
            .filter(|row| self.is_visible(row.endpoint_id))
            .ok_or_else(not_found)
    }

    pub(super) async fn tail(
        &self,
        request: Request<TailAttemptsRequest>,
    ) -> Result<Tail, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let token = proto::metadata::bearer(request.metadata())
            .unwrap_or_default()
            .to_owned();
        let message = request.into_inner();
        self.see_endpoints().await;
        let endpoint = match message.endpoint_id.as_str() {
            "" => None,
            text => {
                let id = text.parse().map_err(|_| endpoint_not_found())?;
                Some(self.endpoint(&account, id)?.id)
            }
        };
        let place = match message.cursor.as_str() {
            "" => None,
            cursor => Some(Place::parse(cursor)?),
        };
        let asked = tail::Asked {
            account,
            endpoint,
            place,
            token,
        };
        tail::begin(&self.0, asked).await
    }

    pub(super) async fn delivery(
        &self,
        request: Request<GetDeliveryRequest>,
    ) -> Result<DeliveryDetail, Problem> {
        let (_, account) = self
            .open(&request, &request.get_ref().account, Need::Read)
            .await?;
        let id = request.get_ref().id.parse();
        let id = id.map_err(|_| delivery_not_found())?;
        self.see_endpoints().await;
        let found = self.0.deps.store.delivery(&account, id).await;
        let (event_type, row) = found
            .map_err(|error| database(&error))?
            .filter(|(_, row)| self.is_visible(row.endpoint_id))
            .ok_or_else(delivery_not_found)?;
        Ok(convert::delivery_detail(event_type, row, now()))
    }
}
