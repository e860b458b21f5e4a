use std::net::IpAddr;

use domain::audit::{Entry, Origin, Via};
use domain::{AccountId, Timestamp};
use proto::DecodeError;
use proto::pipeline::{NoteAudit, NoteKeyUses};
use tokio::time::sleep;
use uuid::Uuid;

use super::super::Control;
use super::{PAUSE, Refusal};

impl Control {
    /// Stores when keys were used last.
    pub(super) async fn note_key_uses(&self, command: NoteKeyUses) -> Result<(), Refusal> {
        let at = Timestamp::from_unix_millis;
        let uses = command.uses.into_iter();
        let uses: Vec<_> = uses.map(|one| (one.key_id, at(one.used_at))).collect();
        loop {
            match self.0.deps.registry.note_key_uses(&uses).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_outage() => sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Stores what somebody did at another role, once.
    pub(super) async fn note_audit(&self, command: NoteAudit) -> Result<(), Refusal> {
        let entry = entry(command)?;
        loop {
            match self.0.deps.registry.note(&entry).await {
                Ok(()) | Err(store::Error::Exists) => return Ok(()),
                Err(error) if error.is_outage() => sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn entry(command: NoteAudit) -> Result<Entry, DecodeError> {
    let address = (!command.address.is_empty()).then(|| command.address.parse::<IpAddr>());
    Ok(Entry {
        id: Uuid::from_slice(&command.id).map_err(|_| DecodeError::Field("id"))?,
        at: Timestamp::from_unix_millis(command.at),
        account: Some(
            AccountId::parse(&command.account).map_err(|_| DecodeError::Field("account"))?,
        ),
        key_id: command.key_id,
        origin: Origin {
            via: Via::Grpc,
            address: address
                .transpose()
                .map_err(|_| DecodeError::Field("address"))?,
        },
        action: command
            .action
            .parse()
            .map_err(|_| DecodeError::Field("action"))?,
        target: command.target,
        detail: command.detail,
    })
}
