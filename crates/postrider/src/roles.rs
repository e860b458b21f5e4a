//! The roles, as data: standalone is the list of all of them.

use crate::config::Setting;

/// A part of the line that can run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Ingest,
    Fanout,
    Dispatcher,
    History,
    Control,
}

impl Role {
    /// Every role.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Ingest,
        Self::Fanout,
        Self::Dispatcher,
        Self::History,
        Self::Control,
    ];

    /// Its subcommand, and its name in logs and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Fanout => "fanout",
            Self::Dispatcher => "dispatcher",
            Self::History => "history",
            Self::Control => "control",
        }
    }

    /// What must be set to run it.
    pub(crate) const fn needs(self) -> &'static [Setting] {
        use Setting::{DatabaseUrl, HistoryUrl, IngestUrl, MasterKey, NatsUrl};
        match self {
            Self::Ingest | Self::Fanout => &[NatsUrl],
            Self::Dispatcher => &[NatsUrl, MasterKey],
            Self::History => &[NatsUrl, DatabaseUrl],
            Self::Control => &[NatsUrl, DatabaseUrl, MasterKey, IngestUrl, HistoryUrl],
        }
    }

    /// The gRPC services it answers, by their full names.
    pub(crate) const fn grpc_services(self) -> &'static [&'static str] {
        match self {
            Self::Ingest => &["postrider.v1.IngestService"],
            Self::History => &["postrider.v1.HistoryService"],
            Self::Control => &["postrider.v1.EndpointService", "postrider.v1.AuditService"],
            Self::Fanout | Self::Dispatcher => &[],
        }
    }

    /// Whether it answers HTTP on the public address.
    pub(crate) const fn has_http(self) -> bool {
        matches!(self, Self::Control)
    }
}
