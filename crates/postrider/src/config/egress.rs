//! Where deliveries may go, and which way.

use std::net::SocketAddr;

use dispatcher::{Proxy, Way};
use domain::AccountId;
use domain::egress::{Allowance, Policy};

use super::Error;
use super::setting::Setting;
use super::source::Values;
use super::value::{boolean, invalid, parts};

pub(super) fn policy(values: &Values, dev: bool) -> Result<Policy, Error> {
    let setting = Setting::EgressAllow;
    let mut policy = Policy {
        allow_http: dev || boolean(values, Setting::EgressAllowHttp)?,
        allow_loopback: dev,
        ..Policy::default()
    };
    for part in parts(values, setting) {
        let (account, text) = match part.split_once('=') {
            Some((account, text)) => (Some(account.trim()), text.trim()),
            None => (None, part),
        };
        let allowance: Allowance = text.parse().map_err(|_| {
            let message = format!(
                "`{text}` is neither a network such as 10.1.0.0/16 or fd00::/8 nor a host name"
            );
            invalid(values, setting, message)
        })?;
        match account.map(AccountId::parse).transpose() {
            Ok(None) => policy.allow.push(allowance),
            Ok(Some(account)) => policy.accounts.entry(account).or_default().push(allowance),
            Err(_) => {
                let message = format!("what stands before = in `{part}` is not an account's id");
                return Err(invalid(values, setting, message));
            }
        }
    }
    Ok(policy)
}

pub(super) fn way(values: &Values) -> Result<Way, Error> {
    let mut name_servers = Vec::new();
    for part in parts(values, Setting::EgressResolver) {
        let server: SocketAddr = part.parse().map_err(|_| {
            let message = format!("`{part}` is not an address and a port, such as 10.0.0.2:53");
            invalid(values, Setting::EgressResolver, message)
        })?;
        name_servers.push(server);
    }
    let proxy = values.get(Setting::EgressProxy);
    let proxy = proxy.map(|value| Proxy::parse(&value.text)).transpose();
    Ok(Way {
        name_servers,
        authorities: values
            .get(Setting::EgressCaFile)
            .map(|value| (&value.text).into()),
        proxy: proxy.map_err(|error| invalid(values, Setting::EgressProxy, error))?,
    })
}
