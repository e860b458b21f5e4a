//! Where Postrider may send to. Addresses are judged at registration, for the
//! message, and at connect, for safety.

mod address;
mod url;

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

pub use self::url::{EndpointUrl, MAX_URL_CHARS};

/// What the operator allows beyond public addresses and https.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Networks that are let through although they are not public.
    pub allow: Vec<IpNet>,
    /// Plain http is accepted.
    pub allow_http: bool,
    /// Loopback addresses and `localhost` are accepted.
    pub allow_loopback: bool,
}

impl Policy {
    /// Whether a connection to this address may be opened. An IPv4 address
    /// mapped into IPv6 is judged as IPv4.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let loopback = self.allow_loopback && address.is_loopback();
        loopback
            || self.allow.iter().any(|network| network.contains(&address))
            || address::is_public(address)
    }

    /// Whether names that only mean something inside a network, such as
    /// `localhost`, may be registered.
    fn permits_local_names(&self) -> bool {
        self.allow_loopback
            || self.permits(IpAddr::V6(Ipv6Addr::LOCALHOST))
            || self.permits(IpAddr::from([127, 0, 0, 1]))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_can_let_a_network_through() {
        let policy = Policy {
            allow: vec!["10.1.0.0/16".parse().unwrap()],
            ..Policy::default()
        };
        assert!(policy.permits("10.1.2.3".parse().unwrap()));
        assert!(policy.permits("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!policy.permits("10.2.2.3".parse().unwrap()));
        assert!(!policy.permits("127.0.0.1".parse().unwrap()));
        let dev = Policy {
            allow_loopback: true,
            ..Policy::default()
        };
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(dev.permits(loopback.parse().unwrap()), "{loopback}");
        }
        assert!(!dev.permits("10.1.2.3".parse().unwrap()));
    }
}
