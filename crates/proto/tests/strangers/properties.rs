//! What holds of any bytes that come as a message: shared by what makes them at
//! random (`strangers`) and what is led by coverage (`tests/fuzz`). Each fails by
//! a panic.

use prost::Message as _;
use proto::v1::{ListEventsRequest, PublishEventsRequest, UpdateEndpointRequest};
use proto::{deliveries_from_list, encode_deliveries, encode_records, pipeline};

/// Its name, and what it does with any bytes.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// The corpus in `tests/fuzz` is of these.
pub(crate) const TARGETS: [Target; 2] = [("batches", batch), ("lists", list)];

/// What strangers call with does not grow when it is read.
pub(crate) fn batch(bytes: &[u8]) {
    if let Ok(batch) = PublishEventsRequest::decode(bytes) {
        assert!(batch.encoded_len() <= 4 * bytes.len() + 16);
    }
    let _ = UpdateEndpointRequest::decode(bytes);
    let _ = ListEventsRequest::decode(bytes);
}

/// What roles tell each other is read whole, or not at all.
pub(crate) fn list(bytes: &[u8]) {
    if let Ok(list) = pipeline::DeliveryList::decode(bytes)
        && let Ok(deliveries) = deliveries_from_list(list)
    {
        let again = pipeline::DeliveryList::decode(&*encode_deliveries(&deliveries));
        assert_eq!(again.ok().map(deliveries_from_list), Some(Ok(deliveries)));
    }
    if let Ok(list) = pipeline::RecordList::decode(bytes) {
        let records = list.records.into_iter();
        let records: Vec<_> = records.flat_map(domain::Record::try_from).collect();
        let again = pipeline::RecordList::decode(&*encode_records(&records));
        let again = again.map(|list| list.records.into_iter().flat_map(domain::Record::try_from));
        assert!(again.is_ok_and(|again| again.eq(records)));
    }
    if let Ok(list) = pipeline::PlanList::decode(bytes) {
        for plan in list.plans {
            let _ = domain::Plan::try_from(plan);
        }
    }
    if let Ok(event) = pipeline::AcceptedEvent::decode(bytes) {
        let _ = domain::AcceptedEvent::try_from(event);
    }
    if let Ok(endpoint) = pipeline::DirectoryEndpoint::decode(bytes)
        && let Ok(endpoint) = domain::Endpoint::try_from(endpoint)
    {
        let again = pipeline::DirectoryEndpoint::from(&endpoint);
        assert_eq!(domain::Endpoint::try_from(again).ok(), Some(endpoint));
    }
    if let Ok(key) = pipeline::DirectoryKey::decode(bytes) {
        let _ = domain::key::KeyRecord::try_from(key);
    }
}
