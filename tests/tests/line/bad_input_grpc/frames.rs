//! Frames that are no message of ours: refused by the layers below the roles,
//! before anything is looked at.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api;
use harness::deployment::Deployment;

use super::event;

const INVALID_ARGUMENT: u8 = 3;
const OUT_OF_RANGE: u8 = 11;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;

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
        ("a message of 10 MiB", frame(&vec![0; 10 << 20])),
    ];
    for (what, body) in cases {
        let request = client
            .post(&url)
            .bearer_auth(api.key())
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body);
        let response = request.send().await.with_context(|| what.to_owned())?;
        // Refused before anything is answered: the status is in the headers.
        let status = response.headers().get("grpc-status").cloned();
        let status: u8 = status
            .with_context(|| format!("{what}: {response:?}"))?
            .to_str()?
            .parse()?;
        let refusals = [INVALID_ARGUMENT, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL];
        ensure!(refusals.contains(&status), "{what}: status {status}");
    }
    // It works on.
    let mut ingest = api::ingest(&deployment.grpc("ingest"), api.key()).await?;
    let mut good = event();
    good.account = "bad-input-frames".into();
    ingest.publish_event(good).await?;
    Ok(())
}
