//! Parsing single values. Every message says what would be right.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::time::Duration;

use domain::breaker;
use domain::retry::{Schedule, parse_duration};
use domain::vault::Vault;
use secrecy::SecretString;
use telemetry::trace::AttemptsInTrace;

use super::Error;
use super::setting::Setting;
use super::source::{Origin, Values};

/// When the supervised nats-server's writes are safe from a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NatsSync {
    /// Before each acknowledgement.
    Always,
    Every(Duration),
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Json,
    Text,
}

/// `message` about the value of `setting`.
pub(super) fn invalid(values: &Values, setting: Setting, message: impl Display) -> Error {
    let origin = values
        .get(setting)
        .map_or(Origin::Default, |value| value.origin.clone());
    Error::Invalid {
        setting,
        origin,
        message: message.to_string(),
    }
}

pub(super) fn required(values: &Values, setting: Setting) -> Result<&str, Error> {
    let value = values.get(setting).map(|value| value.text.as_str());
    value.ok_or_else(|| invalid(values, setting, "it is empty: set it or remove it"))
}

pub(super) fn boolean(values: &Values, setting: Setting) -> Result<bool, Error> {
    match required(values, setting)? {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(invalid(values, setting, "true or false is needed")),
    }
}

/// The parts of a list that commas separate.
pub(super) fn parts(values: &Values, setting: Setting) -> impl Iterator<Item = &str> {
    let text = values.get(setting).map_or("", |value| &value.text);
    let parts = text.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty())
}

pub(super) fn number(
    values: &Values,
    setting: Setting,
    least: u16,
    most: u16,
) -> Result<u16, Error> {
    let parsed = required(values, setting)?.parse::<u16>().ok();
    parsed
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            invalid(
                values,
                setting,
                format!("a number from {least} to {most} is needed"),
            )
        })
}

/// What is not set is for standalone to decide, which has a server to ask.
pub(super) fn partitions(values: &Values) -> Result<NonZeroU16, Error> {
    const UNLESS_SET: NonZeroU16 = NonZeroU16::new(16).unwrap();
    if values.get(Setting::Partitions).is_none() {
        return Ok(UNLESS_SET);
    }
    let count = number(values, Setting::Partitions, 1, 64)?;
    Ok(NonZeroU16::new(count).expect("at least 1 was checked"))
}

pub(super) fn address(values: &Values, setting: Setting) -> Result<SocketAddr, Error> {
    required(values, setting)?.parse().map_err(|_| {
        invalid(
            values,
            setting,
            "an IP address and a port are needed, such as 127.0.0.1:8080",
        )
    })
}

pub(super) fn duration(
    values: &Values,
    setting: Setting,
    range: RangeInclusive<Duration>,
) -> Result<Duration, Error> {
    let duration = parse_duration(required(values, setting)?)
        .map_err(|error| invalid(values, setting, error))?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let message = format!(
        "between {:?} and {:?} is allowed",
        range.start(),
        range.end()
    );
    Err(invalid(values, setting, message))
}

pub(super) fn url_with_secret(
    values: &Values,
    setting: Setting,
    schemes: &[&str],
) -> Result<Option<SecretString>, Error> {
    let Some(value) = values.get(setting) else {
        return Ok(None);
    };
    let scheme = value.text.split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| schemes.contains(&scheme)) {
        return Ok(Some(value.text.clone().into()));
    }
    let wanted = schemes
        .iter()
        .map(|scheme| format!("{scheme}://"))
        .collect::<Vec<_>>();
    Err(invalid(
        values,
        setting,
        format!("it must begin with {}", wanted.join(" or ")),
    ))
}

/// A base URL, without a slash at its end.
pub(super) fn http_url(values: &Values, setting: Setting) -> Result<Option<String>, Error> {
    let Some(value) = values.get(setting) else {
        return Ok(None);
    };
    match url::Url::parse(&value.text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            Ok(Some(value.text.trim_end_matches('/').to_owned()))
        }
        _ => Err(invalid(
            values,
            setting,
            "an http:// or https:// URL is needed",
        )),
    }
}

pub(super) fn nats_sync(values: &Values) -> Result<NatsSync, Error> {
    let setting = Setting::NatsSync;
    if required(values, setting)? == "always" {
        return Ok(NatsSync::Always);
    }
    let range = Duration::from_millis(10)..=Duration::from_secs(3_600);
    duration(values, setting, range)
        .map(NatsSync::Every)
        .map_err(|_| {
            invalid(
                values,
                setting,
                "always, or a duration from 10ms to 1h, is needed",
            )
        })
}

pub(super) fn master_key(values: &Values) -> Result<Option<SecretString>, Error> {
    let Some(value) = values.get(Setting::MasterKey) else {
        return Ok(None);
    };
    // The reason is left out: it might quote the key.
    Vault::parse(&value.text).map_err(|_| {
        invalid(
            values,
            Setting::MasterKey,
            "32 bytes in standard base64 are needed, e.g. from `openssl rand -base64 32`; of \
             several, each on a line of its own, the newest stands last",
        )
    })?;
    Ok(Some(value.text.clone().into()))
}

pub(super) fn admin_key(values: &Values) -> Result<Option<SecretString>, Error> {
    let Some(value) = values.get(Setting::AdminKey) else {
        return Ok(None);
    };
    let text = &value.text;
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || !(16..=256).contains(&text.len()) {
        return Err(invalid(
            values,
            Setting::AdminKey,
            "16 to 256 visible ASCII characters are needed",
        ));
    }
    Ok(Some(text.clone().into()))
}

pub(super) fn retry_schedule(values: &Values) -> Result<Schedule, Error> {
    let text = match required(values, Setting::RetrySchedule)? {
        "none" => "",
        text => text,
    };
    text.parse()
        .map_err(|error| invalid(values, Setting::RetrySchedule, error))
}

/// When endpoints that keep failing are paused.
pub(super) fn breaker(values: &Values) -> Result<breaker::Settings, Error> {
    let failures = number(values, Setting::BreakerFailures, 0, u16::MAX)?;
    let day = Duration::from_secs(86_400);
    let probe_interval = duration(
        values,
        Setting::BreakerProbeInterval,
        Duration::from_millis(100)..=day,
    )?;
    Ok(breaker::Settings {
        failures: failures.into(),
        probe_interval,
    })
}

/// A single nats-server is back or not; a cluster needs up to 9 s to elect.
pub(super) fn lease_duration(values: &Values) -> Result<Duration, Error> {
    let setting = Setting::LeaseDuration;
    if values.get(setting).is_none() {
        let replicas = number(values, Setting::NatsReplicas, 1, 5)?;
        return Ok(Duration::from_secs(if replicas > 1 { 20 } else { 3 }));
    }
    let range = Duration::from_secs(1)..=Duration::from_secs(300);
    let given = duration(values, setting, range)?;
    if given.subsec_nanos() > 0 {
        return Err(invalid(values, setting, "use whole seconds, e.g. 3s"));
    }
    Ok(given)
}

/// `None`: never.
pub(super) fn disable_after(values: &Values) -> Result<Option<Duration>, Error> {
    let setting = Setting::DisableAfter;
    if required(values, setting)? == "0" {
        return Ok(None);
    }
    let range = Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
    duration(values, setting, range).map(Some).map_err(|_| {
        invalid(
            values,
            setting,
            "a duration from 1s to 365d, or 0 for never, is needed",
        )
    })
}

/// An endpoint's own retries may take 7 days and a fifth more: what is under
/// way is never removed.
const SHORTEST_RETENTION: Duration = Duration::from_secs(9 * 86_400);

/// How long history keeps what a setting names.
pub(super) fn retention(values: &Values, setting: Setting) -> Result<Duration, Error> {
    let range = SHORTEST_RETENTION..=Duration::from_secs(3_650 * 86_400);
    duration(values, setting, range).map_err(|_| {
        let message = "a duration from 9d (retries may take that long) to 3650d is needed";
        invalid(values, setting, message)
    })
}

pub(super) fn trace_attempts(values: &Values) -> Result<AttemptsInTrace, Error> {
    let setting = Setting::TraceAttempts;
    let parsed = required(values, setting)?.parse();
    parsed.map_err(|message: String| invalid(values, setting, message))
}

/// 0 is no limit.
pub(super) fn limits(values: &Values) -> Result<control::Limits, Error> {
    let limit = |setting| -> Result<Option<u32>, Error> {
        let limit = number(values, setting, 0, u16::MAX)?;
        Ok((limit > 0).then_some(limit.into()))
    };
    Ok(control::Limits {
        endpoints: limit(Setting::MaxEndpointsPerAccount)?,
        events_per_account: limit(Setting::MaxEventsPerAccount)?,
        events_per_key: limit(Setting::MaxEventsPerKey)?,
    })
}

pub(super) fn log(values: &Values) -> Result<String, Error> {
    let text = required(values, Setting::Log)?;
    tracing_subscriber::EnvFilter::try_new(text)
        .map_err(|error| invalid(values, Setting::Log, error))?;
    Ok(text.to_owned())
}

pub(super) fn log_format(values: &Values, dev: bool) -> Result<LogFormat, Error> {
    match values
        .get(Setting::LogFormat)
        .map(|value| value.text.as_str())
    {
        None if dev => Ok(LogFormat::Text),
        None | Some("json") => Ok(LogFormat::Json),
        Some("text") => Ok(LogFormat::Text),
        Some(_) => Err(invalid(
            values,
            Setting::LogFormat,
            "json or text is needed",
        )),
    }
}
