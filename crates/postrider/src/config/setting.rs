//! Every setting: its name, its default and what it is for, in one table.

use std::fmt;

/// How a value is treated when it is shown or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// A URL that may hold a password; also read from `<variable>_FILE`.
    Url,
    /// Never shown; also read from `<variable>_FILE`.
    Secret,
}

macro_rules! settings {
    ($($variant:ident $key:literal $kind:ident $default:expr, $about:literal;)+) => {
        /// A setting of the processes that run roles.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Setting { $(#[doc = $about] $variant,)+ }

        impl Setting {
            /// Every setting, in the order in which they are shown.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its key in the configuration file.
            pub(crate) const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key,)+ }
            }

            pub(crate) const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)+ }
            }

            /// The value where none is given.
            pub(crate) const fn default(self) -> Option<&'static str> {
                match self { $(Self::$variant => $default,)+ }
            }

            /// What it is for, one line.
            pub(crate) const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)+ }
            }
        }
    };
}

settings! {
    HttpAddr "http_addr" Plain Some("127.0.0.1:8080"), "where REST listens";
    GrpcAddr "grpc_addr" Plain Some("127.0.0.1:50051"), "where all gRPC services listen";
    AdminAddr "admin_addr" Plain Some("127.0.0.1:9090"), "where /livez, /readyz and /metrics listen";
    TlsCertFile "tls_cert_file" Plain None, "PEM file with the certificate of the HTTP and gRPC addresses; without it they speak plain text";
    TlsKeyFile "tls_key_file" Plain None, "PEM file with that certificate's key";
    TlsClientCaFile "tls_client_ca_file" Plain None, "PEM file with who signs callers' certificates; without it they need none";
    TlsClientAuth "tls_client_auth" Plain Some("grpc"), "where callers need a certificate then: grpc, or all for the HTTP address too";
    TlsCaFile "tls_ca_file" Plain None, "PEM file with who signs the other roles' certificates; the system's authorities unless set";
    TlsClientCertFile "tls_client_cert_file" Plain None, "PEM file with the certificate that control shows to other roles";
    TlsClientKeyFile "tls_client_key_file" Plain None, "PEM file with that certificate's key";
    TrustedProxies "trusted_proxies" Plain Some(""), "networks of proxies whose X-Forwarded-For says who calls";
    MaxConnections "max_connections" Plain Some("10000"), "connections of the HTTP address at once, and of the gRPC address; more wait";
    DatabaseUrl "database_url" Url None, "sqlite://… or postgres://…; unless set, standalone makes a SQLite file of its own";
    NatsUrl "nats_url" Url None, "nats://[user:password@]host:4222; standalone starts its own server";
    NatsUser "nats_user" Plain None, "the user at nats-server, with nats_password; else as the URL says";
    NatsPassword "nats_password" Secret None, "nats_user's password";
    NatsCreds "nats_creds" Secret None, "a credentials file's text (JWT and seed), in place of user and password";
    NatsCaFile "nats_ca_file" Plain None, "PEM file with who signs nats-server's certificate; TLS is insisted on then";
    NatsCertFile "nats_cert_file" Plain None, "PEM file with the certificate shown to nats-server";
    NatsKeyFile "nats_key_file" Plain None, "PEM file with that certificate's key";
    NatsSync "nats_sync" Plain Some("always"), "durability of the supervised nats-server: always, or how often it syncs to disk";
    NatsServer "nats_server" Plain None, "the nats-server program that standalone starts";
    NatsReplicas "nats_replicas" Plain Some("1"), "copies of each stream, 1 to 5; a cluster wants 3";
    IngestUrl "ingest_url" Plain None, "where control reaches ingest's gRPC; standalone knows it";
    HistoryUrl "history_url" Plain None, "where control reaches history's gRPC; standalone knows it";
    MasterKey "master_key" Secret None, "32 bytes in base64 that encrypt the endpoints' secrets; standalone makes its own";
    AdminKey "admin_key" Secret None, "the first admin key, at least 16 characters; standalone makes its own";
    PublicUrl "public_url" Plain None, "where people reach the HTTP address from outside; the HTTP address unless set";
    TraceUrlTemplate "trace_url_template" Plain None, "where a trace can be looked at, with {trace_id} in it; the dashboard links to it";
    FrameOrigins "frame_origins" Plain Some(""), "origins whose pages may show a customer's dashboard in a frame, such as https://app.example.com";
    BrandName "brand_name" Plain None, "the dashboard's name; Postrider unless set";
    BrandLogo "brand_logo" Plain None, "a file with the dashboard's logo: .svg, .png, .jpg or .webp, at most 256 KiB";
    BrandAccent "brand_accent" Plain None, "the dashboard's colour, such as #4338ca; bent until it can be read";
    Banner "banner" Plain None, "what the dashboard tells customers above their endpoints";
    EgressAddresses "egress_addresses" Plain None, "where deliveries come from, as customers' firewalls should know it; shown in the dashboard";
    RetrySchedule "retry_schedule" Plain Some("5s,30s,2min,10min,30min,2h,6h,12h,24h"), "delays before the second, third, … attempt; none for no retry";
    DeliveryTimeout "delivery_timeout" Plain Some("10s"), "limit of one attempt, the whole exchange";
    DeliveryConcurrency "delivery_concurrency" Plain Some("1024"), "attempts that one dispatcher has under way at once; accounts share them";
    BreakerFailures "breaker_failures" Plain Some("10"), "consecutive failures after which an endpoint only gets probes; 0 never";
    BreakerProbeInterval "breaker_probe_interval" Plain Some("30s"), "time between two probes of an endpoint that keeps failing";
    LeaseDuration "lease_duration" Plain None, "how long a partition stays with a dispatcher that fell silent, whole seconds; 3s with one nats-server, 20s with more";
    DisableAfter "disable_after" Plain Some("5d"), "an endpoint with nothing but failure for so long is disabled; 0 for never";
    EventRetention "event_retention" Plain Some("30d"), "how long events are kept with their bodies and tags, at least 9d";
    RecordRetention "record_retention" Plain Some("90d"), "how long deliveries, attempts and counts are kept, at least event_retention";
    SweepAfter "sweep_after" Plain Some("5min"), "an attempt that is overdue for so long, and stands in no stream, is sent for again";
    DuplicateWindow "duplicate_window" Plain Some("20min"), "how long a repeated publish is recognised";
    EgressAllow "egress_allow" Plain Some(""), "networks and host names that deliveries may reach although they are not public; account=… for one account alone";
    EgressAllowHttp "egress_allow_http" Plain Some("false"), "whether endpoints may have http:// URLs";
    EgressCaFile "egress_ca_file" Plain None, "PEM file with who signs endpoints' certificates, beside the system's authorities";
    EgressResolver "egress_resolver" Plain None, "name servers for endpoints' hosts, address:port; the system's resolver unless set";
    EgressProxy "egress_proxy" Url None, "http://[user:password@]host:port of a proxy that connects to the endpoints' addresses";
    VerifyEndpoints "verify_endpoints" Plain Some("false"), "whether a URL must echo a challenge before it gets events; those that are registered already need not";
    MaxEndpointsPerAccount "max_endpoints_per_account" Plain Some("0"), "endpoints that an account may have; 0 for no limit";
    MaxEventsPerAccount "max_events_per_account" Plain Some("0"), "events a second that one ingest takes for an account; 0 for no limit";
    MaxEventsPerKey "max_events_per_key" Plain Some("0"), "events a second that one ingest takes of a key; 0 for no limit";
    Partitions "partitions" Plain None, "parts that endpoints are spread over, 1 to 64, fixed at the first start; 16 unless set, and standalone makes 4 and keeps what is there";
    ShutdownGrace "shutdown_grace" Plain Some("25s"), "how long a process may take to end after SIGTERM";
    DataDir "data_dir" Plain Some("./data"), "where standalone keeps everything";
    Dev "dev" Plain Some("false"), "allow http:// and loopback targets, log for people";
    TraceAttempts "trace_attempts" Plain Some("first-attempt"), "which attempts belong to their event's trace: first-attempt, always or never; the others have linked traces";
    Log "log" Plain Some("info"), "what is logged: a level, or directives such as info,dispatcher=debug";
    LogFormat "log_format" Plain None, "json or text; json unless dev is on";
}

impl Setting {
    /// Its environment variable.
    pub(crate) fn variable(self) -> String {
        format!("POSTRIDER_{}", self.key().to_ascii_uppercase())
    }

    /// The variable that names a file with the value; only secrets and URLs
    /// have one.
    pub(crate) fn file_variable(self) -> Option<String> {
        (self.kind() != Kind::Plain).then(|| format!("{}_FILE", self.variable()))
    }

    pub(crate) fn from_key(key: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|setting| setting.key() == key)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// The known name that is nearest to a misspelt one, if any is near.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (given.len() / 4).clamp(1, 3);
    known
        .map(|name| (edit_distance(given, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance, in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_name_that_was_meant() {
        let keys = || Setting::ALL.iter().map(|setting| setting.key());
        assert_eq!(nearest("retry_shedule", keys()), Some("retry_schedule"));
        assert_eq!(nearest("httpaddr", keys()), Some("http_addr"));
        assert_eq!(nearest("something_else", keys()), None);
    }

    #[test]
    fn variables_are_the_contracts() {
        assert_eq!(
            Setting::EgressAllowHttp.variable(),
            "POSTRIDER_EGRESS_ALLOW_HTTP"
        );
        assert_eq!(
            Setting::MasterKey.file_variable().as_deref(),
            Some("POSTRIDER_MASTER_KEY_FILE")
        );
        assert_eq!(Setting::HttpAddr.file_variable(), None);
    }
}
