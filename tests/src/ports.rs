//! Free ports for servers that must keep theirs over a restart.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range that the kernel hands out for outgoing connections, so
/// that nothing takes a port while its server is down.
const FIRST: u16 = 18_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that nobody listens on and that this process has not
/// handed out before.
#[must_use]
pub fn free_port() -> u16 {
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).expect("below COUNT");
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(
            step < COUNT,
            "no free port between {FIRST} and {}",
            FIRST + COUNT
        );
        // Test processes with neighbouring ids start far apart.
        let port = FIRST + (start.wrapping_mul(37) % COUNT + step) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
