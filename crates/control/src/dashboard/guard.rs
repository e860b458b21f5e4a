//! What holds for every page: who may frame it, what may run in it, and from
//! where it may be changed.

use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::{Problem, Reason};

use super::brand::Brand;
use super::page::Refusal;
use crate::core::Control;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the browser may do with a page that `ancestors` may frame.
pub(super) fn policy(ancestors: &str) -> HeaderValue {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {ancestors}"
    );
    HeaderValue::try_from(policy).expect("origins are visible ASCII")
}

/// Pages that a customer's session opens; the operator's own are never framed.
fn is_a_customers(path: &str) -> bool {
    path.starts_with("/accounts/") || path.starts_with("/portal/") || path == "/"
}

/// A middleware: the browser runs nothing but our own files.
pub(super) async fn strict(
    Extension(brand): Extension<Arc<Brand>>,
    request: Request,
    next: Next,
) -> Response {
    static UNFRAMED: LazyLock<HeaderValue> = LazyLock::new(|| policy("'none'"));
    let framed = brand
        .framed_policy()
        .filter(|_| is_a_customers(request.uri().path()));
    let policy = framed.unwrap_or(&UNFRAMED).clone();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // `no-referrer` would make a form's `Origin` null.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A middleware: nobody keeps what belongs to a customer.
pub(super) async fn private(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

/// A middleware: only our own pages change anything. Other sites' forms carry
/// the cookie too, but not our origin.
pub(super) async fn same_origin(
    State(control): State<Control>,
    request: Request,
    next: Next,
) -> Response {
    if request.method().is_safe() || is_ours(request.headers(), control.public_url()) {
        return next.run(request).await;
    }
    let detail = "this form was sent from another site; open the dashboard and repeat it there";
    Refusal(Problem::new(Reason::ScopeInsufficient, detail)).into_response()
}

/// Browsers name the origin of every form. What names none is refused too.
fn is_ours(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(&SEC_FETCH_SITE).is_some_and(|site| site != "same-origin") {
        return false;
    }
    let Some(origin) = text(&header::ORIGIN) else {
        return text(&SEC_FETCH_SITE).is_some();
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    let is_public =
        url::Url::parse(public_url).is_ok_and(|url| url.origin().ascii_serialization() == origin);
    is_public || (host.is_some() && host == text(&header::HOST))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_change_anything() {
        let cases: [(&[(&str, &str)], bool); 8] = [
            (&[], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://dash.test:8080")], true),
            (&[("origin", "https://hooks.example")], true),
            (&[("origin", "http://hooks.example")], false),
            (&[("origin", "https://evil.test")], false),
            (&[("sec-fetch-site", "same-origin")], true),
            (
                &[
                    ("sec-fetch-site", "same-site"),
                    ("origin", "http://dash.test:8080"),
                ],
                false,
            ),
        ];
        for (sent, ours) in cases {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("dash.test:8080"));
            for (name, value) in sent {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(
                is_ours(&headers, "https://hooks.example/"),
                ours,
                "{sent:?}"
            );
        }
    }
}
