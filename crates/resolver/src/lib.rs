//! Host names to addresses, by the system's resolver or by name servers that
//! are set.
//!
//! The system's resolver blocks a thread and cannot be called off, so a slow
//! name server could take every thread there is. Hence one lookup per name at a
//! time, shared by all who wait for it, and a bound on all lookups.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

/// A name is looked up for this long.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Lookups at once; further ones wait, within their own time.
const MAX_LOOKUPS: usize = 128;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the name has no address")]
    NotFound,
    #[error("looking up the name took too long")]
    Timeout,
}

/// What a lookup found.
pub type Addresses = Result<Arc<[IpAddr]>, Error>;
type Lookups = HashMap<String, watch::Receiver<Option<Addresses>>>;

/// Resolves names. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What is being looked up now. No answer is kept: connections are reused,
    /// so names are asked for rarely, and the system may cache.
    lookups: Mutex<Lookups>,
    permits: Semaphore,
    tracker: TaskTracker,
    /// `None`: the system's resolver.
    servers: Option<TokioResolver>,
}

impl Resolver {
    /// Asks these name servers, or the system's resolver if there are none.
    /// Lookups run on `tracker`; they outlive those who asked.
    #[must_use]
    pub fn new(tracker: TaskTracker, servers: &[SocketAddr]) -> Self {
        Self(Arc::new(Inner {
            lookups: Mutex::default(),
            permits: Semaphore::new(MAX_LOOKUPS),
            tracker,
            servers: (!servers.is_empty()).then(|| asking(servers)),
        }))
    }

    /// The addresses of `name`, at least one, in the resolver's order. Takes 5 s
    /// at most.
    ///
    /// # Errors
    ///
    /// When the name has none, or nobody says so in time.
    pub async fn resolve(&self, name: &str) -> Addresses {
        let mut lookup = self.join(name);
        let found = async {
            let answer = lookup.wait_for(Option::is_some).await;
            answer.map_or(Err(Error::NotFound), |answer| {
                answer.clone().unwrap_or(Err(Error::NotFound))
            })
        };
        tokio::time::timeout(LOOKUP_TIMEOUT, found)
            .await
            .unwrap_or(Err(Error::Timeout))
    }

    /// The lookup of `name` that is under way, or a new one.
    fn join(&self, name: &str) -> watch::Receiver<Option<Addresses>> {
        let mut lookups = self.0.lookups.lock().expect("no panic holds it");
        if let Some(lookup) = lookups.get(name) {
            return lookup.clone();
        }
        let (answer, lookup) = watch::channel(None);
        lookups.insert(name.to_owned(), lookup.clone());
        let (inner, name) = (Arc::clone(&self.0), name.to_owned());
        self.0.tracker.spawn(async move {
            let addresses = inner.look_up(&name).await;
            inner
                .lookups
                .lock()
                .expect("no panic holds it")
                .remove(&name);
            answer.send_replace(Some(addresses));
        });
        lookup
    }
}

impl Inner {
    /// Ends when the system's resolver ends, so that the entry stands for a
    /// thread as long as that thread is taken.
    async fn look_up(&self, name: &str) -> Addresses {
        let _permit = self.permits.acquire().await.map_err(|_| Error::NotFound)?;
        let addresses: Arc<[IpAddr]> = match &self.servers {
            Some(servers) => ask(servers, name).await?,
            None => ask_system(name).await?,
        };
        if addresses.is_empty() {
            return Err(Error::NotFound);
        }
        Ok(addresses)
    }
}

/// Ends when the system's resolver ends.
async fn ask_system(name: &str) -> Addresses {
    match tokio::net::lookup_host((name, 0)).await {
        Ok(addresses) => Ok(addresses.map(|address| address.ip()).collect()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Error::Timeout),
        Err(_) => Err(Error::NotFound),
    }
}

async fn ask(servers: &TokioResolver, name: &str) -> Addresses {
    // With a dot at its end no search list is tried.
    let name = format!("{}.", name.trim_end_matches('.'));
    match servers.lookup_ip(name).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(error) if error.is_no_records_found() => Err(Error::NotFound),
        Err(_) => Err(Error::Timeout),
    }
}

fn asking(servers: &[SocketAddr]) -> TokioResolver {
    let servers = servers.iter().map(|server| {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = server.port();
        }
        NameServerConfig::new(server.ip(), true, connections)
    });
    let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_secs(2);
    options.attempts = 1;
    // An answer holds for the connection it was asked for, and for no other.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .expect("only TLS needs what may be missing")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lookups_of_a_name_are_shared_and_forgotten() {
        let tracker = TaskTracker::new();
        let resolver = Resolver::new(tracker.clone(), &[]);
        let (one, two) = tokio::join!(resolver.resolve("localhost"), resolver.resolve("localhost"));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(Arc::ptr_eq(&one, &two) && one.iter().all(IpAddr::is_loopback));
        tracker.close();
        tracker.wait().await;
        assert!(resolver.0.lookups.lock().unwrap().is_empty());
    }
}
