//! What an operator lets through although it is not public.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::address;

/// One thing that is let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowance {
    /// Every address of a network, whatever name leads there.
    Network(IpNet),
    /// The private addresses that a name leads to.
    Name(HostPattern),
}

/// A host name, or with `*.` before it every name below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(String);

/// Neither a network nor a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("use a network such as 10.1.0.0/16, a host name, or *. and a name")]
pub struct NotAnAllowance;

impl Allowance {
    /// Whether a connection to this address of this host is let through. A name
    /// opens private networks (RFC 1918, RFC 6598, RFC 4193) alone: whoever
    /// answers for it cannot lead to this machine, or to a cloud's metadata.
    pub(super) fn permits(&self, host: &str, address: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(&address),
            Self::Name(pattern) => pattern.matches(host) && address::is_private(address),
        }
    }

    /// Whether it is about this name.
    pub(super) fn names(&self, host: &str) -> bool {
        matches!(self, Self::Name(pattern) if pattern.matches(host))
    }
}

impl HostPattern {
    /// Whether the host, in any case and with or without a dot at its end, is
    /// meant.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self.0.strip_prefix('*') {
            Some(below) => host.len() > below.len() && host.ends_with(below),
            None => host == self.0,
        }
    }
}

impl FromStr for Allowance {
    type Err = NotAnAllowance;

    fn from_str(text: &str) -> Result<Self, NotAnAllowance> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        // What ends in a number is an address that was mistyped.
        let last = name.rsplit('.').next().unwrap_or_default();
        let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
        if name.len() > 253 || numeric || !name.split('.').all(label) {
            return Err(NotAnAllowance);
        }
        Ok(Self::Name(HostPattern(text.to_ascii_lowercase())))
    }
}

impl std::fmt::Display for Allowance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Name(pattern) => f.write_str(&pattern.0),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn permits(allowance: &str, host: &str, address: &str) -> bool {
        let allowance: Allowance = allowance.parse().unwrap();
        allowance.permits(host, address.parse().unwrap())
    }

    #[test]
    fn a_name_opens_private_networks_and_nothing_else() {
        assert!(permits(
            "hooks.corp.internal",
            "Hooks.corp.internal.",
            "10.0.0.1"
        ));
        assert!(permits("*.corp.internal", "a.b.corp.internal", "fd00::1"));
        for (host, address) in [
            ("other.internal", "10.0.0.1"),
            ("corp.internal", "10.0.0.1"),
            ("xcorp.internal", "10.0.0.1"),
            ("a.corp.internal", "127.0.0.1"),
            ("a.corp.internal", "169.254.169.254"),
            ("a.corp.internal", "168.63.129.16"),
            ("a.corp.internal", "::1"),
            ("a.corp.internal", "fe80::1"),
        ] {
            assert!(
                !permits("*.corp.internal", host, address),
                "{host} {address}"
            );
        }
    }

    #[test]
    fn what_is_neither_a_network_nor_a_name_is_refused() {
        for wrong in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "*",
            "*.",
            "-a.b",
            "a..b",
            "a b",
            "a/b",
        ] {
            assert_eq!(wrong.parse::<Allowance>(), Err(NotAnAllowance), "{wrong}");
        }
    }
}
