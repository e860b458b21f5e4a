//! What roles ask control to do, as messages of COMMANDS.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;
use prost::Message;
use proto::pipeline::{DisableEndpoint, NoteAudit, NoteKeyUses, RaiseEvent, VerifyEndpoint};
use uuid::Uuid;

use crate::topology::{
    DISABLE_ENDPOINT_SUBJECT, NOTE_AUDIT_SUBJECT, NOTE_KEY_USES_SUBJECT, RAISE_EVENT_SUBJECT,
    VERIFY_ENDPOINT_SUBJECT,
};
use crate::{Broker, Error};

impl Broker {
    /// Asks control to disable an endpoint.
    ///
    /// # Errors
    ///
    /// When the server refuses it for good.
    pub async fn send_disable(&self, command: DisableEndpoint) -> Result<(), Error> {
        self.send(DISABLE_ENDPOINT_SUBJECT, &command).await
    }

    /// Tells control that an endpoint has echoed its challenge.
    ///
    /// # Errors
    ///
    /// When the server refuses it for good.
    pub async fn send_verify(&self, command: VerifyEndpoint) -> Result<(), Error> {
        self.send(VERIFY_ENDPOINT_SUBJECT, &command).await
    }

    /// Asks control to publish an operational event.
    ///
    /// # Errors
    ///
    /// When the server refuses it for good.
    pub async fn send_raise_event(&self, command: RaiseEvent) -> Result<(), Error> {
        self.send(RAISE_EVENT_SUBJECT, &command).await
    }

    /// Tells control which keys were used.
    ///
    /// # Errors
    ///
    /// When the server refuses it for good.
    pub async fn send_key_uses(&self, command: NoteKeyUses) -> Result<(), Error> {
        self.send(NOTE_KEY_USES_SUBJECT, &command).await
    }

    /// Tells control what somebody did here.
    ///
    /// # Errors
    ///
    /// When the server refuses it for good.
    pub async fn send_audit(&self, command: NoteAudit) -> Result<(), Error> {
        self.send(NOTE_AUDIT_SUBJECT, &command).await
    }

    /// Publishes until it is stored, once.
    async fn send(&self, subject: &str, command: &impl Message) -> Result<(), Error> {
        let payload = Bytes::from(command.encode_to_vec());
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, Uuid::new_v4().to_string());
        let sent = self.publish_for_ever(subject.to_owned(), headers, payload);
        sent.await.map(|_| ())
    }
}
