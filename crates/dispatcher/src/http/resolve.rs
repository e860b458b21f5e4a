//! Host names to addresses, by the system's resolver.
//!
//! That resolver blocks a thread and cannot be called off, so a slow name
//! server could take every thread there is. Hence one lookup per name at a
//! time, shared by all who wait for it, and a bound on all lookups.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

/// A name is looked up for this long.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Lookups at once; further ones wait, within their own time.
const MAX_LOOKUPS: usize = 128;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("the name has no address")]
    NotFound,
    #[error("looking up the name took too long")]
    Timeout,
}

type Addresses = Result<Arc<[IpAddr]>, Error>;
type Lookups = HashMap<String, watch::Receiver<Option<Addresses>>>;

#[derive(Debug, Clone)]
pub(crate) struct Resolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What is being looked up now. No answer is kept: connections are reused,
    /// so names are asked for rarely, and the system may cache.
    lookups: Mutex<Lookups>,
    permits: Semaphore,
    tracker: TaskTracker,
}

impl Resolver {
    /// Lookups run on `tracker`; they outlive those who asked.
    pub(crate) fn new(tracker: TaskTracker) -> Self {
        Self(Arc::new(Inner {
            lookups: Mutex::default(),
            permits: Semaphore::new(MAX_LOOKUPS),
            tracker,
        }))
    }

    /// The addresses of `name`, at least one, in the system's order.
    pub(crate) async fn resolve(&self, name: &str) -> Addresses {
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
        let found = tokio::net::lookup_host((name, 0)).await;
        let addresses: Arc<[IpAddr]> = match found {
            Ok(addresses) => addresses.map(|address| address.ip()).collect(),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Error::Timeout),
            Err(_) => return Err(Error::NotFound),
        };
        if addresses.is_empty() {
            return Err(Error::NotFound);
        }
        Ok(addresses)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lookups_of_a_name_are_shared_and_forgotten() {
        let tracker = TaskTracker::new();
        let resolver = Resolver::new(tracker.clone());
        let (one, two) = tokio::join!(resolver.resolve("localhost"), resolver.resolve("localhost"));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(Arc::ptr_eq(&one, &two) && one.iter().all(IpAddr::is_loopback));
        tracker.close();
        tracker.wait().await;
        assert!(resolver.0.lookups.lock().unwrap().is_empty());
    }
}
