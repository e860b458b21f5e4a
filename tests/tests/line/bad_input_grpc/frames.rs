//! Frames that are no message of ours: refused by the layers below the roles,
//! before anything is looked at, and as clearly as by a role.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::Reason;
use harness::api;
use harness::deployment::Deployment;
use proto::status::to_problem;
use proto::v1::StreamEventsRequest;
use proto::v1::ingest_service_client::IngestServiceClient;
use tonic::{Code, Request, Status};

use super::event;

const MIB: usize = 1 << 20;

/// A gRPC frame: whether it is compressed, its length, the message.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("tests send less than 4 GiB");
    [&[0][..], &length.to_be_bytes(), message].concat()
}

pub(super) async fn what_is_no_message_is_refused(deployment: Arc<Deployment>) -> Result<()> {
    let api = deployment.api();
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .timeout(Duration::from_secs(20))
        .build()?;
    let url = format!(
        "{}/postrider.v1.IngestService/PublishEvent",
        deployment.grpc("ingest")
    );
    let short = [&[0, 0, 0, 0, 9][..], b"\x0a\x02"].concat();
    let compressed = [&[1][..], &frame(b"\x0a\x01a")[1..]].concat();
    let cases = [
        ("an account that is not UTF-8", frame(b"\x0a\x02\xff\xfe")),
        ("a type that is not UTF-8", frame(b"\x0a\x01a\x12\x01\xff")),
        (
            "a tag that is not UTF-8",
            frame(b"\x2a\x05\x0a\x01\xff\x12\x00"),
        ),
        ("a number for the account", frame(b"\x08\x01")),
        ("a text cut short", frame(b"\x0a\x10a")),
        ("words", frame(b"hello")),
        ("a frame cut short", short),
        ("a frame in an unknown compression", compressed),
        ("a message of 10 MiB", frame(&vec![0; 10 * MIB])),
    ];
    for (what, body) in cases {
        let reason = match body.len() {
            ..MIB => Reason::RequestMalformed,
            _ => Reason::RequestTooLarge,
        };
        let request = client
            .post(&url)
            .bearer_auth(api.key())
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body);
        let response = request.send().await.with_context(|| what.to_owned())?;
        // Refused before anything is answered: the status is in the headers.
        let status = Status::from_header_map(response.headers());
        let status = status.with_context(|| format!("{what}: {response:?}"))?;
        ensure!(status.code() == Code::InvalidArgument, "{what}: {status:?}");
        let problem = to_problem(&status, Reason::Internal);
        ensure!(problem.reason == reason, "{what}: {problem:?}");
        crate::bad_input::is_a_helpful_sentence(&problem.detail)?;
    }
    // It works on.
    let mut ingest = api::ingest(&deployment.grpc("ingest"), api.key()).await?;
    let mut good = event();
    good.account = "bad-input-frames".into();
    ingest.publish_event(good).await?;
    Ok(())
}

/// Acks for what came before, then the reason why there are no more.
pub(super) async fn a_stream_ends_with_what_could_not_be_read(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let item = |sequence, bytes: usize| {
        let mut event = event();
        event.account = "bad-input-frames".into();
        event.object = format!("{{\"t\":\"{}\"}}", "x".repeat(bytes)).into();
        StreamEventsRequest {
            sequence,
            event: Some(event),
        }
    };
    let events = vec![item(1, 0), item(2, 10 * MIB), item(3, 0)];
    let channel = tonic::transport::Endpoint::from_shared(deployment.grpc("ingest"))?;
    let mut client =
        IngestServiceClient::new(channel.connect().await?).max_encoding_message_size(20 * MIB);
    let mut request = Request::new(tokio_stream::iter(events));
    let bearer = format!("Bearer {}", deployment.api().key()).parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let mut acks = client.stream_events(request).await?.into_inner();
    let first = acks.message().await?.context("an ack")?;
    ensure!(first.sequence == 1 && first.error.is_none(), "{first:?}");
    let status = acks.message().await.err().context("the reason")?;
    let problem = to_problem(&status, Reason::Internal);
    ensure!(problem.reason == Reason::RequestTooLarge, "{status:?}");
    Ok(())
}
