//! How many POSTs are in flight: a bound on all, and one on each endpoint, so
//! that an endpoint that hangs cannot take every slot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use domain::EndpointId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// POSTs in flight to one endpoint, if the bound on all leaves as many.
const MAX_PER_ENDPOINT: usize = 64;

/// An endpoint gets at most this part of all slots.
const SHARE_PER_ENDPOINT: usize = 4;

type Endpoints = Arc<Mutex<HashMap<EndpointId, Own>>>;

/// An endpoint's own slots.
#[derive(Debug)]
struct Own {
    semaphore: Arc<Semaphore>,
    /// Who waits or sends.
    users: usize,
}

#[derive(Debug)]
pub(crate) struct Slots {
    all: Arc<Semaphore>,
    per_endpoint: usize,
    /// Endpoints that somebody sends to or waits for.
    endpoints: Endpoints,
}

/// The right to one POST.
#[derive(Debug)]
pub(crate) struct Slot {
    _all: OwnedSemaphorePermit,
    _endpoint: OwnedSemaphorePermit,
    _place: Place,
}

impl Slots {
    /// `concurrency` POSTs at once, at least one.
    pub(crate) fn new(concurrency: usize) -> Self {
        let concurrency = concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(concurrency)),
            per_endpoint: (concurrency / SHARE_PER_ENDPOINT).clamp(1, MAX_PER_ENDPOINT),
            endpoints: Endpoints::default(),
        }
    }

    /// Waits for a slot, first among the endpoint's own deliveries, then among
    /// all. Both are first come, first served.
    ///
    /// # Cancel safety
    ///
    /// Cancelled, it has taken nothing, and loses its place.
    pub(crate) async fn acquire(&self, endpoint: EndpointId) -> Slot {
        let place = self.place(endpoint);
        let own = Arc::clone(&place.semaphore).acquire_owned().await;
        let all = Arc::clone(&self.all).acquire_owned().await;
        Slot {
            _all: all.expect("never closed"),
            _endpoint: own.expect("never closed"),
            _place: place,
        }
    }

    fn place(&self, endpoint: EndpointId) -> Place {
        let mut endpoints = self.endpoints.lock().expect("no panic holds it");
        let own = endpoints.entry(endpoint).or_insert_with(|| Own {
            semaphore: Arc::new(Semaphore::new(self.per_endpoint)),
            users: 0,
        });
        own.users += 1;
        Place {
            endpoint,
            semaphore: Arc::clone(&own.semaphore),
            endpoints: Arc::clone(&self.endpoints),
        }
    }
}

/// Keeps the endpoint's entry while somebody waits or sends. Declared after the
/// permit in [`Slot`], so that it is dropped after it.
#[derive(Debug)]
struct Place {
    endpoint: EndpointId,
    semaphore: Arc<Semaphore>,
    endpoints: Endpoints,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut endpoints = self.endpoints.lock().expect("no panic holds it");
        if let Some(own) = endpoints.get_mut(&self.endpoint) {
            own.users -= 1;
            if own.users == 0 {
                endpoints.remove(&self.endpoint);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn an_endpoint_cannot_take_every_slot() {
        let slots = Slots::new(8);
        let (greedy, modest) = (EndpointId::new(), EndpointId::new());
        let first = slots.acquire(greedy).now_or_never().unwrap();
        let second = slots.acquire(greedy).now_or_never().unwrap();
        assert!(slots.acquire(greedy).now_or_never().is_none());
        let other = slots.acquire(modest).now_or_never().unwrap();
        drop(first);
        let third = slots.acquire(greedy).now_or_never().unwrap();
        drop((second, third, other));
        assert!(slots.endpoints.lock().unwrap().is_empty());
    }

    #[test]
    fn all_slots_have_a_bound() {
        let slots = Slots::new(2);
        let _one = slots.acquire(EndpointId::new()).now_or_never().unwrap();
        let two = slots.acquire(EndpointId::new()).now_or_never().unwrap();
        assert!(slots.acquire(EndpointId::new()).now_or_never().is_none());
        drop(two);
        assert!(slots.acquire(EndpointId::new()).now_or_never().is_some());
    }
}
