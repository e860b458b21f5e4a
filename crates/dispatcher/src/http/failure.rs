//! What went wrong, in words for the endpoint's owner: what happened, and what
//! to look at. Nothing of our own insides is said.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use domain::{Failure, FailureClass};
use hyper_util::client::legacy;
use rustls::{AlertDescription, CertificateError};

use super::connect;

fn failure(class: FailureClass, message: impl Into<String>) -> Failure {
    Failure {
        class,
        message: message.into(),
    }
}

/// `None` for a 2xx.
pub(super) fn for_status(status: u16) -> Option<Failure> {
    let message = match status {
        200..=299 => return None,
        301..=303 | 307 | 308 => format!(
            "the endpoint answered {status}, a redirect, and redirects are not followed; change \
             the endpoint's URL to where it leads"
        ),
        401 | 403 => format!(
            "the endpoint answered {status}; let requests through by their signature instead of a \
             login, and check firewalls in front of it"
        ),
        404 => "the endpoint answered 404; check the path in its URL".to_owned(),
        405 => "the endpoint answered 405; it must accept POST".to_owned(),
        410 => "the endpoint answered 410 Gone, which disables it; enable it again when it is back"
            .to_owned(),
        413 => "the endpoint answered 413; raise its limit on request bodies to at least 512 KiB"
            .to_owned(),
        429 => {
            "the endpoint answered 429, too many requests; set a rate limit on the endpoint, or \
                raise its own"
                .to_owned()
        }
        400..=499 => format!(
            "the endpoint answered {status}; it must answer 2xx to what it has received, so check \
             its handling of this request"
        ),
        500..=599 => format!("the endpoint answered {status}; check its server's logs"),
        _ => format!("the endpoint answered {status}; it must answer 2xx"),
    };
    Some(failure(FailureClass::HttpStatus, message))
}

/// The exchange was not over after `limit`; `status` is what had come so far.
pub(super) fn timed_out(limit: Duration, status: Option<u16>) -> Failure {
    let limit = domain::retry::format_duration(limit);
    let message = match status {
        None => format!(
            "the endpoint did not answer within {limit}; answer first and do the work afterwards"
        ),
        Some(status) => format!(
            "the endpoint answered {status}, but its response body had not ended after {limit}; \
             end the response"
        ),
    };
    failure(FailureClass::Timeout, message)
}

/// The URL is one that may not be sent to (any more).
pub(super) fn denied(why: &str) -> Failure {
    let message = format!("nothing is sent to the endpoint's URL; change it: {why}");
    failure(FailureClass::EgressDenied, message)
}

/// No response head came.
pub(super) fn of_request(error: &legacy::Error, limit: Duration) -> Failure {
    match find::<connect::Error>(error) {
        Some(error) => of_connect(error, limit),
        None => of_connection(error),
    }
}

/// The connection failed while it was in use.
pub(super) fn of_connection(error: &(dyn StdError + 'static)) -> Failure {
    if let Some(tls) = find::<rustls::Error>(error) {
        return of_tls(tls);
    }
    let broken_body = find::<io::Error>(error).is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
        )
    });
    let hyper = find::<hyper::Error>(error);
    if hyper.is_some_and(hyper::Error::is_parse_too_large) {
        return head_too_large();
    }
    if broken_body || hyper.is_some_and(hyper::Error::is_parse) {
        return failure(
            FailureClass::ResponseInvalid,
            "what came back is not HTTP/1.1; check that the URL's port is that of a web server",
        );
    }
    failure(
        FailureClass::Connect,
        "the connection was closed before the whole response had come; check the server, and \
         proxies or firewalls in front of it",
    )
}

/// The response's head is larger than what is read of it.
pub(super) fn head_too_large() -> Failure {
    failure(
        FailureClass::ResponseInvalid,
        "the response's headers are larger than 64 KiB or more than 100; send fewer",
    )
}

fn of_connect(error: &connect::Error, limit: Duration) -> Failure {
    match error {
        connect::Error::Resolve(resolver::Error::NotFound) => failure(
            FailureClass::Dns,
            "the host name in the endpoint's URL has no address; check its spelling and its DNS \
             records",
        ),
        connect::Error::Resolve(resolver::Error::Timeout) => failure(
            FailureClass::Dns,
            "looking up the host name in the endpoint's URL took too long; check its name servers",
        ),
        connect::Error::Denied => failure(
            FailureClass::EgressDenied,
            "the host in the endpoint's URL leads to a private or reserved address, and nothing is \
             sent to those; use a public one",
        ),
        connect::Error::Timeout => timed_out(limit, None),
        connect::Error::Tcp(error) if error.kind() == io::ErrorKind::ConnectionRefused => failure(
            FailureClass::Connect,
            "the connection was refused; check that the server runs, and the port in the URL",
        ),
        connect::Error::Tcp(error) if error.kind() == io::ErrorKind::TimedOut => {
            timed_out(limit, None)
        }
        connect::Error::Tcp(_) => failure(
            FailureClass::Connect,
            "no connection could be opened to the host; check that it is reachable from the \
             internet",
        ),
        connect::Error::Tls(error) => match find::<rustls::Error>(&**error) {
            Some(error) => of_tls(error),
            None => failure(
                FailureClass::Tls,
                "the connection was closed during the TLS handshake; check that the server speaks \
                 TLS 1.2 or 1.3 on this port",
            ),
        },
    }
}

fn of_tls(error: &rustls::Error) -> Failure {
    use rustls::Error as E;
    let message = match error {
        E::InvalidCertificate(certificate) => of_certificate(certificate),
        E::AlertReceived(
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity,
        )
        | E::PeerIncompatible(_) => {
            "the server and Postrider have no TLS version or cipher in common; the server must \
             offer TLS 1.2 or 1.3 with ECDHE and AES-GCM or ChaCha20"
        }
        E::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the server does not know the host name in the URL; check the server's TLS settings"
        }
        E::InvalidMessage(_) => {
            "the server does not speak TLS on this port; check the port in the URL"
        }
        _ => "no TLS session could be opened; check the server's TLS settings",
    };
    failure(FailureClass::Tls, message)
}

fn of_certificate(error: &CertificateError) -> &'static str {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => "the server's certificate has expired; renew it",
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; check its dates"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "the server's certificate is for another host name; get one for the host in the URL"
        }
        E::UnknownIssuer => {
            "the server's certificate is not from a known authority, or the intermediate \
             certificates are missing; send the full chain of a publicly trusted one"
        }
        E::Revoked => "the server's certificate has been revoked; replace it",
        _ => "the server's certificate is not acceptable; replace it with a publicly trusted one",
    }
}

/// The first error of this type along the chain of sources. An `io::Error`
/// hides what it wraps from that chain.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_2xx_is_no_failure() {
        for good in [200, 201, 202, 204, 299] {
            assert_eq!(for_status(good), None);
        }
        for bad in [
            101, 199, 300, 301, 307, 400, 401, 404, 410, 429, 500, 503, 599, 999,
        ] {
            let failure = for_status(bad).unwrap();
            assert_eq!(failure.class, FailureClass::HttpStatus);
            assert!(
                failure.message.contains(&bad.to_string()),
                "{}",
                failure.message
            );
        }
    }

    #[test]
    fn an_expired_certificate_is_named_through_all_wrappers() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        let error = connect::Error::Tls(Box::new(wrapped));
        let failure = of_connect(&error, Duration::from_secs(1));
        assert_eq!(failure.class, FailureClass::Tls);
        assert!(failure.message.contains("expired"), "{}", failure.message);
    }

    #[test]
    fn a_handshake_without_common_ciphers_says_so() {
        let alert = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert!(of_tls(&alert).message.contains("cipher"));
    }
}
