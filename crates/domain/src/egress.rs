//! Where Postrider may send to. Addresses are judged at registration, for the
//! message, and at connect, for safety.

mod address;
mod allowance;
mod url;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

pub use self::allowance::{Allowance, HostPattern, NotAnAllowance};
pub use self::url::{EndpointUrl, MAX_URL_CHARS};
use crate::AccountId;

/// What the operator allows beyond public addresses and https.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What is let through although it is not public.
    pub allow: Vec<Allowance>,
    /// The same for endpoints of one account only.
    pub accounts: BTreeMap<AccountId, Vec<Allowance>>,
    /// Plain http is accepted.
    pub allow_http: bool,
    /// Loopback addresses and `localhost` are accepted.
    pub allow_loopback: bool,
}

impl Policy {
    /// What holds for endpoints of this account.
    #[must_use]
    pub fn of_account(&self, account: &AccountId) -> Self {
        let own = self.accounts.get(account).into_iter().flatten();
        Self {
            allow: self.allow.iter().chain(own).cloned().collect(),
            accounts: BTreeMap::new(),
            ..*self
        }
    }

    /// Whether a connection to this address may be opened, whatever host it is
    /// of. An IPv4 address mapped into IPv6 is judged as IPv4.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        self.permits_host("", address)
    }

    /// Whether a connection to this address of this host may be opened. An IPv4
    /// address mapped into IPv6 is judged as IPv4.
    #[must_use]
    pub fn permits_host(&self, host: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let loopback = self.allow_loopback && address.is_loopback();
        let allowed = |one: &Allowance| one.permits(host, address);
        loopback || self.allow.iter().any(allowed) || address::is_public(address)
    }

    /// Whether the operator has allowed this name.
    fn names(&self, host: &str) -> bool {
        self.allow.iter().any(|one| one.names(host))
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

    #[test]
    fn an_account_has_what_everybody_has_and_its_own() {
        let account = AccountId::parse("acme").unwrap();
        let own = vec![
            "10.2.0.0/16".parse().unwrap(),
            "hooks.corp.internal".parse().unwrap(),
        ];
        let policy = Policy {
            allow: vec!["10.1.0.0/16".parse().unwrap()],
            accounts: [(account.clone(), own)].into(),
            ..Policy::default()
        };
        let acme = policy.of_account(&account);
        let other = policy.of_account(&AccountId::parse("other").unwrap());
        let everybodys = "10.1.0.1".parse().unwrap();
        assert!(acme.permits(everybodys) && other.permits(everybodys));
        let acmes = "10.2.0.1".parse().unwrap();
        assert!(acme.permits(acmes) && !other.permits(acmes) && !policy.permits(acmes));
        let by_name = "192.168.0.1".parse().unwrap();
        assert!(acme.permits_host("hooks.corp.internal", by_name));
        assert!(!acme.permits_host("evil.example.com", by_name));
        let url = "https://hooks.corp.internal/";
        assert!(EndpointUrl::parse(url, &acme).is_ok() && EndpointUrl::parse(url, &other).is_err());
    }
}
