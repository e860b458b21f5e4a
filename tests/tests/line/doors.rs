//! Every way in, generated from what the server says of itself: the OpenAPI
//! document and gRPC reflection. Each is tried by whoever may not, and says
//! the same of what is not there and of what is not the caller's.

mod grpc;
mod raw;
mod rest;
mod world;

use std::sync::Arc;

use harness::deployment::Deployment;
use harness::suite::Scenario;

use grpc::{every_method_keeps_to_its_key, no_method_tells_what_others_have};
use rest::{every_route_keeps_to_its_key, no_route_tells_what_others_have};

pub(crate) fn scenarios() -> Vec<Scenario<Arc<Deployment>>> {
    harness::scenarios![
        every_route_keeps_to_its_key,
        no_route_tells_what_others_have,
        every_method_keeps_to_its_key,
        no_method_tells_what_others_have,
    ]
}
