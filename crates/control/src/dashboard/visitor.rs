//! Who looks at a page, and the cookie that tells.

use std::time::Duration;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use domain::audit::Via;
use domain::key::{Identity, Need};
use domain::{AccountId, Problem, Reason};

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
        })
    }
}

fn token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// The cookie of a session; an empty token ends it.
pub(super) fn cookie(token: &str, lasts: Duration, public_url: &str) -> HeaderValue {
    let secure = if public_url.starts_with("https:") {
        "; Secure"
    } else {
        ""
    };
    let seconds = lasts.as_secs();
    let text =
        format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).expect("a token is base64url")
}
