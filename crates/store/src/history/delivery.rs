//! A delivery by its own id.

use domain::{AccountId, DeliveryId};
use sqlx::FromRow;

use super::{DeliveryRow, History};
use crate::Error;

#[derive(FromRow)]
struct Typed {
    event_type: String,
    #[sqlx(flatten)]
    row: DeliveryRow,
}

impl History {
    /// A delivery of an account, with the type of its event.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn delivery(
        &self,
        account: &AccountId,
        id: DeliveryId,
    ) -> Result<Option<(String, DeliveryRow)>, Error> {
        let text = "SELECT event_type, id, event_id, endpoint_id, cause, state, reason, attempts, \
                    next_attempt_at FROM deliveries WHERE id = $1 AND (account = $2) IS TRUE";
        let found: Option<Typed> = self.named(text, "accepted_at", account, id.uuid()).await?;
        Ok(found.map(|found| (found.event_type, found.row)))
    }
}
