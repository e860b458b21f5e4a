//! Who looks at a page, and the cookie that tells.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use domain::audit::{Action, Via};
use domain::key::{Identity, Need};
use domain::{AccountId, Problem, Reason};

use super::brand::Brand;
use super::page::Refusal;
use crate::core::{Control, Session};

const COOKIE: &str = "postrider_session";

/// Whoever has a session that holds.
#[derive(Debug)]
pub(super) struct Visitor(pub(super) Session);

impl FromRequestParts<Control> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        let Some(token) = token(&parts.headers) else {
            return Err(domain::key::invalid_key().into());
        };
        let mut session = control.session(token).await?;
        let via = match session.portal {
            true => Via::Portal,
            false => Via::Dashboard,
        };
        let origin = proto::metadata::origin(via, &parts.extensions);
        session.identity = session.identity.coming_from(origin);
        Ok(Self(session))
    }
}

/// A visitor of an account that the session opens; `id` is the path's, empty if
/// it has none.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) identity: Identity,
    pub(super) portal: bool,
    pub(super) account: AccountId,
    pub(super) id: String,
    pub(super) brand: Arc<Brand>,
}

impl FromRequestParts<Control> for Scope {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        let Visitor(session) = Visitor::from_request_parts(parts, control).await?;
        let params = RawPathParams::from_request_parts(parts, control)
            .await
            .map_err(|_| Problem::new(Reason::RouteNotFound, "the address is not UTF-8"))?;
        let param = |name| {
            params
                .iter()
                .find(|(key, _)| *key == name)
                .map_or("", |(_, value)| value)
        };
        let account = AccountId::parse(param("account"))
            .map_err(|_| Problem::new(Reason::RouteNotFound, "this is no account's name"))?;
        session.identity.authorise(&account, Need::Read)?;
        Ok(Self {
            identity: session.identity,
            portal: session.portal,
            account,
            id: param("id").to_owned(),
            brand: brand(parts),
        })
    }
}

impl Scope {
    /// Notes what the visitor did here through another role.
    pub(super) async fn note(&self, control: &Control, action: Action, target: &str) {
        let account = Some(&self.account);
        control.note(&self.identity, account, action, target).await;
    }
}

/// The operator of all accounts, who may read.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) identity: Identity,
    pub(super) brand: Arc<Brand>,
}

impl FromRequestParts<Control> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        let Visitor(session) = Visitor::from_request_parts(parts, control).await?;
        session.identity.authorise_everywhere(Need::Read)?;
        Ok(Self {
            identity: session.identity,
            brand: brand(parts),
        })
    }
}

fn brand(parts: &Parts) -> Arc<Brand> {
    let brand = parts.extensions.get::<Arc<Brand>>();
    Arc::clone(brand.expect("the router adds it to every request"))
}

/// The session's token.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Where a session's cookie goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// To pages of our own window.
    Window,
    /// To a frame in another site's page as well, kept apart for each such site.
    Frame,
}

impl Reach {
    /// Of a customer's session. Browsers refuse a cookie for frames over plain
    /// http, unless it is the machine they run on.
    pub(super) fn of_portal(brand: &Brand, public_url: &str, headers: &HeaderMap) -> Self {
        let host = headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        let is_safe = public_url.starts_with("https:") || is_loopback(host);
        match brand.framed_policy() {
            Some(_) if is_safe => Self::Frame,
            _ => Self::Window,
        }
    }
}

/// Whether a host, with or without a port, is this machine.
fn is_loopback(host: &str) -> bool {
    let url = url::Url::parse(&format!("http://{host}"));
    match url.as_ref().ok().and_then(url::Url::host) {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The cookie of a session; an empty token ends it.
pub(super) fn cookie(token: &str, lasts: Duration, reach: Reach, public_url: &str) -> HeaderValue {
    let site = match reach {
        Reach::Frame => "SameSite=None; Secure; Partitioned",
        Reach::Window if public_url.starts_with("https:") => "SameSite=Lax; Secure",
        Reach::Window => "SameSite=Lax",
    };
    let seconds = lasts.as_secs();
    let text = format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; {site}");
    HeaderValue::try_from(text).expect("a token is base64url")
}
