//! Messages that are none, or say too much: read without a panic, and what is
//! accepted survives its way back.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use proto::v1::{ListEventsRequest, PublishEventsRequest, UpdateEndpointRequest};
use proto::{deliveries_from_list, deliveries_to_list, pipeline};

fn cases() -> ProptestConfig {
    let given = std::env::var_os("PROPTEST_CASES").is_some();
    let mut config = ProptestConfig::default();
    if !given {
        config.cases = 3_000;
    }
    config.failure_persistence = None;
    config
}

/// Bytes that look like protobuf: a field's number and kind, and what follows.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let field = (1_u8..16, 0_u8..6, vec(any::<u8>(), 0..24)).prop_map(|(number, kind, content)| {
        let mut bytes = vec![number << 3 | kind];
        if kind == 2 {
            bytes.push(u8::try_from(content.len()).unwrap_or(0));
        }
        bytes.extend(content);
        bytes
    });
    vec(field, 0..12).prop_map(|fields| fields.concat())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn batches_of_strangers(bytes in message()) {
        if let Ok(batch) = PublishEventsRequest::decode(bytes.as_slice()) {
            prop_assert!(batch.encoded_len() <= 4 * bytes.len() + 16);
        }
        let _ = UpdateEndpointRequest::decode(bytes.as_slice());
        let _ = ListEventsRequest::decode(bytes.as_slice());
    }

    #[test]
    fn lists_among_roles(bytes in message()) {
        if let Ok(list) = pipeline::DeliveryList::decode(bytes.as_slice())
            && let Ok(deliveries) = deliveries_from_list(list)
        {
            let again = deliveries_to_list(&deliveries);
            let again = deliveries_from_list(again).map(|again| again.len());
            prop_assert_eq!(again.ok(), Some(deliveries.len()));
        }
        if let Ok(list) = pipeline::RecordList::decode(bytes.as_slice()) {
            for record in list.records {
                let _ = domain::Record::try_from(record);
            }
        }
        if let Ok(event) = pipeline::AcceptedEvent::decode(bytes.as_slice()) {
            let _ = domain::AcceptedEvent::try_from(event);
        }
        if let Ok(key) = pipeline::DirectoryKey::decode(bytes.as_slice()) {
            let _ = domain::key::KeyRecord::try_from(key);
        }
    }
}
