//! What is begun tells of its end, whatever becomes of its task.

use domain::EndpointId;
use tracing::error;

use super::{Handle, News};
use crate::deliver::{Deliver, Unsettled};
use crate::item::Item;
use crate::step::Step;

/// Work on one attempt. Whatever becomes of its task, the conductor hears of
/// its end.
#[derive(Debug)]
pub(super) struct Work {
    handle: Handle,
    /// Taken by its end.
    pub(super) item: Option<Item>,
    /// Its place among those in flight was not given back yet.
    in_flight: bool,
}

impl Work {
    pub(super) const fn new(handle: Handle, item: Item, in_flight: bool) -> Self {
        Self {
            handle,
            item: Some(item),
            in_flight,
        }
    }

    /// The exchange is over: the endpoint may get the next one, while this one
    /// is being recorded.
    pub(super) fn posted(&mut self, step: &Result<Step, Unsettled>) {
        if let (Ok(Step { gone: Some(_), .. }), Some(item)) = (step, &self.item) {
            // Before its place is free for the next one.
            self.handle.tell(News::Gone(item.delivery.endpoint_id));
        }
        let tells = self.item.as_ref().is_some_and(|item| !item.is_test());
        let result = step.as_ref().ok().and_then(Step::succeeded);
        self.leave_flight(result.filter(|_| tells));
    }

    pub(super) async fn conclude(&mut self, deliver: &Deliver, step: Step) {
        let Some(item) = &self.item else { return };
        match deliver.conclude(item, step).await {
            Ok(settlement) => {
                if let Some(item) = self.item.take() {
                    self.handle.tell(News::Settled(item, settlement));
                }
            }
            Err(reason) => self.give_up(&reason),
        }
    }

    pub(super) fn give_up(&mut self, reason: &Unsettled) {
        let Some(item) = self.item.take() else { return };
        if matches!(reason, Unsettled::Publish(_)) {
            error!(%reason, delivery = %item.delivery.id, "an outcome of {} was refused", item.delivery.id);
        }
        let rests = matches!(reason, Unsettled::Secret(_));
        self.handle.tell(News::Unsettled(item, rests));
    }

    fn leave_flight(&mut self, result: Option<bool>) {
        if std::mem::take(&mut self.in_flight)
            && let Some(item) = &self.item
        {
            self.handle.tell(News::Posted {
                endpoint: item.delivery.endpoint_id,
                epoch: item.epoch,
                account: item.delivery.event.account.clone(),
                result,
            });
        }
    }
}

impl Drop for Work {
    /// Its task panicked or was dropped.
    fn drop(&mut self) {
        self.leave_flight(None);
        if let Some(item) = self.item.take() {
            self.handle.tell(News::Unsettled(item, true));
        }
    }
}

/// A list of deliveries on its way to PARKED.
#[derive(Debug)]
pub(super) struct Parking {
    handle: Handle,
    endpoint: EndpointId,
    /// Taken by its end.
    pub(super) items: Vec<Item>,
}

impl Parking {
    pub(super) const fn new(handle: Handle, endpoint: EndpointId, items: Vec<Item>) -> Self {
        Self {
            handle,
            endpoint,
            items,
        }
    }

    /// It stands there, or was refused (`None`).
    pub(super) fn ended(mut self, sequence: Option<u64>) {
        self.tell(sequence);
    }

    fn tell(&mut self, sequence: Option<u64>) {
        let items = std::mem::take(&mut self.items);
        if !items.is_empty() {
            self.handle
                .tell(News::Stored(self.endpoint, items, sequence));
        }
    }
}

impl Drop for Parking {
    /// Its task panicked or was dropped.
    fn drop(&mut self) {
        self.tell(None);
    }
}
