//! What is allowed but probably not meant, with the reason.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::Config;
use super::setting::{Setting, nearest};
use super::source::{Environment, Values};
use super::value::NatsSync;
use crate::roles::Role;

/// Something that works and that its operator should know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    /// A setting's key, or the name of a variable that is none.
    pub(crate) about: String,
    /// What is so, what follows from it, what to do.
    pub(crate) text: String,
}

/// Names that are read elsewhere: by the client commands and by tests.
const OTHER_VARIABLES: &[&str] = &[
    "POSTRIDER_CONFIG",
    "POSTRIDER_URL",
    "POSTRIDER_KEY",
    "POSTRIDER_KEY_FILE",
    "POSTRIDER_ACCOUNT",
    "POSTRIDER_BIN",
    "POSTRIDER_CACHE",
];

/// For so long the README lets publishers repeat a call that got no answer.
const REPEATS: Duration = Duration::from_secs(15 * 60);

/// All warnings for a process that runs `roles`.
pub(crate) fn warnings(
    config: &Config,
    values: &Values,
    environment: &Environment,
    roles: &[Role],
    standalone: bool,
) -> Vec<Warning> {
    let mut found = Vec::new();
    doors(config, roles, &mut found);
    deliveries(config, roles, &mut found);
    if standalone {
        set_by_standalone(values, &mut found);
    } else {
        foundations(config, values, &mut found);
    }
    if let NatsSync::Every(interval) = config.nats_sync
        && standalone
    {
        add(
            &mut found,
            Setting::NatsSync,
            format!(
                "a power failure may lose what was accepted in the last {interval:?}: use always \
             unless that is acceptable"
            ),
        );
    }
    if config.duplicate_window < REPEATS {
        add(
            &mut found,
            Setting::DuplicateWindow,
            format!(
                "publishers are told to repeat for {REPEATS:?}: a repeat that comes later than this \
                 window is accepted as another event and sent again"
            ),
        );
    }
    if config.duplicate_window > Duration::from_secs(2 * 3_600) {
        add(
            &mut found,
            Setting::DuplicateWindow,
            "the broker holds about 220 bytes of memory for each event in this window: \
             shorten it unless publishers repeat so late",
        );
    }
    misspelt(environment, &mut found);
    found
}

fn add(found: &mut Vec<Warning>, setting: Setting, text: impl Into<String>) {
    found.push(Warning {
        about: setting.key().to_owned(),
        text: text.into(),
    });
}

fn doors(config: &Config, roles: &[Role], found: &mut Vec<Warning>) {
    let open = |address: SocketAddr| !address.ip().is_loopback();
    let grpc = roles.iter().any(|role| !role.grpc_services().is_empty());
    let http = roles.iter().any(|role| role.has_http());
    if open(config.admin_addr) {
        add(
            found,
            Setting::AdminAddr,
            "metrics and readiness are shown to everyone who can reach this address: keep it \
             inside your network",
        );
    }
    let plain = config.tls.server.is_none();
    if plain && grpc && open(config.grpc_addr) {
        add(
            found,
            Setting::GrpcAddr,
            "keys travel unencrypted: set tls_cert_file, put a TLS proxy in front, or keep it inside \
             your network",
        );
    }
    let public = config.public_url.as_deref().unwrap_or("http:");
    if http && !config.branding.frame_origins.is_empty() && !public.starts_with("https:") {
        add(
            found,
            Setting::FrameOrigins,
            "browsers keep the session out of frames unless the dashboard is reached over https: \
             set public_url to its https:// address",
        );
    }
    if plain && http && open(config.http_addr) {
        add(
            found,
            Setting::HttpAddr,
            "keys travel unencrypted: set tls_cert_file, put a TLS proxy in front, or keep it inside \
             your network",
        );
    }
}

fn deliveries(config: &Config, roles: &[Role], found: &mut Vec<Warning>) {
    if !roles.contains(&Role::Dispatcher) && !roles.contains(&Role::Control) {
        return;
    }
    if config.shutdown_grace < config.delivery_timeout + Duration::from_secs(2) {
        add(
            found,
            Setting::ShutdownGrace,
            format!(
                "shorter than delivery_timeout ({:?}) and 2 s: attempts under way at a shutdown are \
             cut off and made again",
                config.delivery_timeout
            ),
        );
    }
    if config.dev {
        add(
            found,
            Setting::Dev,
            "endpoints may be on http:// and on this machine: never use it where others can \
             register endpoints",
        );
    } else if config.egress.allow_http {
        add(
            found,
            Setting::EgressAllowHttp,
            "webhooks to http:// endpoints can be read and changed on their way",
        );
    }
    let metadata: IpAddr = [169, 254, 169, 254].into();
    if config.egress.permits(metadata) {
        add(
            found,
            Setting::EgressAllow,
            "169.254.169.254 can be reached, where clouds hand out their credentials: allow \
             narrower networks",
        );
    }
    for allowance in &config.egress.allow {
        let text =
            format!("whoever may register an endpoint can make this process call {allowance}");
        add(found, Setting::EgressAllow, text);
    }
    for (account, allowances) in &config.egress.accounts {
        for allowance in allowances {
            let text = format!(
                "whoever may register an endpoint of {account} can make this process call \
                 {allowance}"
            );
            add(found, Setting::EgressAllow, text);
        }
    }
}

fn foundations(config: &Config, values: &Values, found: &mut Vec<Warning>) {
    for setting in [Setting::NatsServer, Setting::NatsSync, Setting::DataDir] {
        if values.is_given(setting) {
            add(
                found,
                setting,
                "only standalone uses it: it has no effect here",
            );
        }
    }
    if config.nats_replicas == 1 {
        add(
            found,
            Setting::NatsReplicas,
            "one copy: a lost disk of nats-server loses events that were accepted; use 3 on a \
             cluster",
        );
    }
    let database = config.database_url.as_ref().map(|url| url.expose_secret());
    if database.is_some_and(|url| url.starts_with("sqlite:")) {
        add(
            found,
            Setting::DatabaseUrl,
            "SQLite serves processes of one machine only: use PostgreSQL for roles on several",
        );
    }
}

fn set_by_standalone(values: &Values, found: &mut Vec<Warning>) {
    for setting in [Setting::NatsUrl, Setting::IngestUrl, Setting::HistoryUrl] {
        if values.is_given(setting) {
            add(
                found,
                setting,
                "standalone sets it itself: the given value is ignored",
            );
        }
    }
}

/// Variables that look like settings and are none.
fn misspelt(environment: &Environment, found: &mut Vec<Warning>) {
    let mut known: Vec<String> = Setting::ALL.iter().map(|one| one.variable()).collect();
    known.extend(Setting::ALL.iter().filter_map(|one| one.file_variable()));
    for name in environment
        .keys()
        .filter(|name| name.starts_with("POSTRIDER_") && !is_of_a_service(name))
    {
        if known.contains(name) || OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let advice = match nearest(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("was {meant} meant?"),
            None => "`postrider config show` lists all settings".to_owned(),
        };
        found.push(Warning {
            about: name.clone(),
            text: format!("no variable of this name is read: {advice}"),
        });
    }
}

/// Whether Kubernetes set it, in the name of a service: e.g.
/// `POSTRIDER_INGEST_SERVICE_HOST`, `POSTRIDER_PORT_8080_TCP_ADDR`.
fn is_of_a_service(name: &str) -> bool {
    let port = name.split_once("_PORT").map(|(_, rest)| rest);
    let numbered = |rest: &str| {
        rest.strip_prefix('_')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || port.is_some_and(|rest| rest.is_empty() || numbered(rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn about(pairs: &[(&str, &str)], roles: &[Role], standalone: bool) -> Vec<String> {
        let environment: Environment = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let values = Values::merge(&[], &environment, None).unwrap();
        let config = Config::parse(&values).unwrap();
        let found = warnings(&config, &values, &environment, roles, standalone);
        found.into_iter().map(|warning| warning.about).collect()
    }

    #[test]
    fn the_defaults_of_standalone_raise_no_warning() {
        assert_eq!(about(&[], Role::ALL, true), [""; 0]);
    }

    #[test]
    fn warns_of_what_is_probably_not_meant() {
        let cases: &[(&str, &str, &str)] = &[
            ("POSTRIDER_ADMIN_ADDR", "0.0.0.0:9090", "admin_addr"),
            ("POSTRIDER_SHUTDOWN_GRACE", "5s", "shutdown_grace"),
            ("POSTRIDER_EGRESS_ALLOW", "10.0.0.0/8", "egress_allow"),
            ("POSTRIDER_NATS_SYNC", "1s", "nats_sync"),
            ("POSTRIDER_NATS_URL", "nats://elsewhere", "nats_url"),
            ("POSTRIDER_DUPLICATE_WINDOW", "10min", "duplicate_window"),
            ("POSTRIDER_DUPLICATE_WINDOW", "3h", "duplicate_window"),
            ("POSTRIDER_RETRY_SHEDULE", "1s", "POSTRIDER_RETRY_SHEDULE"),
            ("POSTRIDER_TYPO", "1", "POSTRIDER_TYPO"),
        ];
        for (name, value, subject) in cases {
            let warned = about(&[(name, value)], Role::ALL, true);
            assert_eq!(warned, [*subject], "{name}");
        }
    }

    #[test]
    fn every_allowance_is_shown_and_metadata_beside_it() {
        let allowed = "10.0.0.0/8,hooks.internal,acme=0.0.0.0/0";
        let warned = about(&[("POSTRIDER_EGRESS_ALLOW", allowed)], Role::ALL, true);
        assert_eq!(warned, ["egress_allow"; 3]);
        let warned = about(&[("POSTRIDER_EGRESS_ALLOW", "0.0.0.0/0")], Role::ALL, true);
        assert_eq!(warned, ["egress_allow"; 2]);
    }

    #[test]
    fn what_kubernetes_sets_for_services_is_left_alone() {
        for name in [
            "POSTRIDER_SERVICE_HOST",
            "POSTRIDER_INGEST_SERVICE_PORT_GRPC",
            "POSTRIDER_INGEST_PORT",
            "POSTRIDER_PORT_8080_TCP_ADDR",
        ] {
            assert_eq!(about(&[(name, "1")], Role::ALL, true), [""; 0], "{name}");
        }
    }
}
