//! Who calls, where a proxy stands in between.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use ipnet::IpNet;
use proto::metadata::Peer;
use tonic::service::Routes;

use super::accept::Line;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The services, told who calls them; who does not take their answers is seen.
pub(super) fn around_grpc(routes: Routes, proxies: &Arc<[IpNet]>) -> Routes {
    routes
        .into_axum_router()
        .layer(from_fn_with_state(Arc::clone(proxies), tell))
        .into()
}

async fn tell(State(proxies): State<Arc<[IpNet]>>, mut request: Request, next: Next) -> Response {
    let Some(line) = request.extensions_mut().remove::<Line>() else {
        return next.run(request).await;
    };
    let caller = caller(line.peer, request.headers(), &proxies);
    request.extensions_mut().insert(caller);
    let version = request.version();
    line.offers.watch(version, next.run(request).await)
}

/// The caller of a request that came from `peer`. What a trusted proxy has added
/// to `X-Forwarded-For` is believed, from the last address on; the first one that
/// is no trusted proxy is the caller's, whatever stands before it.
pub(super) fn caller(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> Peer {
    let values = headers.get_all(FORWARDED_FOR).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut hops: Vec<&str> = texts.flat_map(|text| text.split(',')).collect();
    let mut address = peer.0;
    while trusted.iter().any(|network| network.contains(&address)) {
        let Some(Ok(next)) = hops.pop().map(|hop| hop.trim().parse::<IpAddr>()) else {
            break;
        };
        address = next.to_canonical();
    }
    Peer(address)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        caller(Peer(peer.parse().unwrap()), &headers, &trusted)
            .0
            .to_string()
    }

    #[test]
    fn only_what_a_trusted_proxy_says_is_believed() {
        let inside = ["10.0.0.0/8"];
        assert_eq!(seen("192.0.2.1", &["1.1.1.1"], &inside), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1"], &inside), "1.1.1.1");
        assert_eq!(
            seen("10.0.0.1", &["9.9.9.9, 1.1.1.1, 10.0.0.2"], &inside),
            "1.1.1.1"
        );
        assert_eq!(
            seen("10.0.0.1", &["9.9.9.9", "1.1.1.1"], &inside),
            "1.1.1.1"
        );
        assert_eq!(seen("10.0.0.1", &["unknown"], &inside), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &[], &inside), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1"], &[]), "10.0.0.1");
    }
}
