//! Bodies that are not JSON, or far too much of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::deployment::Deployment;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::world::World;
use super::{Case, case};

const DEPTH: usize = 10_000;

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

pub(super) fn cases(world: &World) -> Vec<Case> {
    let mut cases = malformed(world);
    cases.extend(deep(world));
    cases.extend(large(world));
    cases
}

fn malformed(world: &World) -> Vec<Case> {
    let no_json: [(&str, &[u8]); 16] = [
        ("no body", b""),
        ("white space", b" \r\n\t "),
        ("words", b"hello"),
        ("a form", b"type=message.report&object=%7B%7D"),
        ("cut short", br#"{"type":"message.report","object":{"#),
        ("cut within a text", br#"{"type":"mess"#),
        (
            "a comma too many",
            br#"{"type":"message.report","object":{},}"#,
        ),
        ("single quotes", b"{'type':'message.report','object':{}}"),
        (
            "names without quotes",
            b"{type:\"message.report\",object:{}}",
        ),
        (
            "a comment",
            b"{\"type\":\"message.report\",\"object\":{}/**/}",
        ),
        (
            "not a number",
            br#"{"type":"message.report","object":{"n":NaN}}"#,
        ),
        ("two objects", br#"{"type":"message.report","object":{}}{}"#),
        (
            "a byte order mark",
            b"\xef\xbb\xbf{\"type\":\"message.report\",\"object\":{}}",
        ),
        (
            "a line break in a text",
            b"{\"type\":\"message.report\",\"object\":{\"a\":\"\n\"}}",
        ),
        (
            "half an escape",
            br#"{"type":"message.report","object":{"a":"\u12"}}"#,
        ),
        (
            "a null byte",
            b"{\"type\":\"message.report\",\0\"object\":{}}",
        ),
    ];
    let no_utf8: [(&str, &[u8]); 5] = [
        (
            "a lone byte",
            b"{\"type\":\"message.report\",\"object\":{\"a\":\"\xff\"}}",
        ),
        (
            "an overlong form",
            b"{\"type\":\"message.report\",\"object\":{\"a\":\"\xc0\xaf\"}}",
        ),
        (
            "a surrogate",
            b"{\"type\":\"message.report\",\"object\":{\"a\":\"\xed\xa0\x80\"}}",
        ),
        (
            "ISO 8859-1",
            b"{\"type\":\"message.report\",\"object\":{\"\xe9\":1}}",
        ),
        ("UTF-16", b"\xff\xfe{\0}\0"),
    ];
    let no_object: [(&str, &[u8]); 5] = [
        ("an array", b"[]"),
        ("null", b"null"),
        ("a text", br#""message.report""#),
        ("a number", b"17"),
        ("true", b"true"),
    ];
    let mut cases = Vec::new();
    for (what, body) in no_json.iter().chain(&no_utf8) {
        let what = format!("no JSON: {what}");
        let request = world.post_raw("/events", *body);
        cases.push(case(what, request, 400, "JSON_MALFORMED", ""));
    }
    for (what, body) in no_object {
        let what = format!("no object: {what}");
        let request = world.post_raw("/endpoints", body);
        cases.push(case(what, request, 400, "REQUEST_MALFORMED", ""));
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "",
    ] {
        let request = world
            .call(Method::POST, "/events")
            .header("content-type", kind);
        let request = request.body("{}");
        cases.push(case(
            format!("content-type {kind}"),
            request,
            415,
            "MEDIA_TYPE_UNSUPPORTED",
            "",
        ));
    }
    cases
}

fn deep(world: &World) -> Vec<Case> {
    let array = nested(DEPTH);
    let object = format!("{}1{}", "{\"a\":".repeat(DEPTH), "}".repeat(DEPTH));
    let event = |object: &str| format!(r#"{{"type":"message.report","object":{object}}}"#);
    let endpoint = |field: &str| {
        let body = world.good_endpoint(field, json!("deep")).to_string();
        body.replace("\"deep\"", &array)
    };
    let mut cases = vec![
        case(
            "a body of arrays, 10,000 deep",
            world.post_raw("/events", array.clone()),
            400,
            "REQUEST_MALFORMED",
            "",
        ),
        case(
            "arrays without an end, 10,000 deep",
            world.post_raw("/events", event(&"[".repeat(DEPTH))),
            400,
            "JSON_MALFORMED",
            "",
        ),
        case(
            "an object 10,000 deep",
            world.post_raw("/events", event(&object)),
            422,
            "OBJECT_INVALID",
            "object",
        ),
        case(
            "arrays in the object, 10,000 deep",
            world.post_raw("/events", event(&format!("{{\"a\":{array}}}"))),
            422,
            "OBJECT_INVALID",
            "object",
        ),
        case(
            "an object of 129 levels",
            world.post_raw("/events", event(&format!("{{\"a\":{}}}", nested(128)))),
            422,
            "OBJECT_INVALID",
            "object",
        ),
        case(
            "tags 10,000 deep",
            world.post_raw(
                "/events",
                format!(r#"{{"type":"message.report","object":{{}},"tags":{object}}}"#),
            ),
            422,
            "FIELD_INVALID",
            "tags",
        ),
    ];
    for field in ["url", "description", "event_types", "rate_limit"] {
        let request = world.post_raw("/endpoints", endpoint(field));
        cases.push(case(
            format!("{field} 10,000 deep"),
            request,
            422,
            "FIELD_INVALID",
            field,
        ));
    }
    cases
}

fn large(world: &World) -> Vec<Case> {
    let text = |bytes: usize| "x".repeat(bytes);
    // One byte more than an object may have.
    let object = json!({"t": text(256 * 1024 + 1 - "{\"t\":\"\"}".len())});
    let many = vec![json!({"type": "message.report", "object": {}}); 1_001];
    vec![
        case(
            "an object of 256 KiB and a byte",
            world.publish_with("object", object),
            413,
            "OBJECT_TOO_LARGE",
            "object",
        ),
        case(
            "a body of more than 1 MiB",
            world.publish_with("object", json!({"t": text(1 << 20)})),
            413,
            "REQUEST_TOO_LARGE",
            "",
        ),
        case(
            "an endpoint of more than 1 MiB",
            world.create_with("description", json!(text(1 << 20))),
            413,
            "REQUEST_TOO_LARGE",
            "",
        ),
        case(
            "1 MiB of white space",
            world.post_raw("/events", " ".repeat((1 << 20) + 1)),
            413,
            "REQUEST_TOO_LARGE",
            "",
        ),
        case(
            "a batch of 1,001 events",
            world.post("/events/batch", &json!({"events": many})),
            422,
            "FIELD_INVALID",
            "events",
        ),
        case(
            "a batch of more than 8 MiB",
            world.post_raw("/events/batch", text((8 << 20) + 1)),
            413,
            "REQUEST_TOO_LARGE",
            "",
        ),
    ]
}

/// As many clients do: nothing is read before the whole body is sent.
pub(super) async fn a_refusal_reaches_who_sends_everything_first(
    deployment: Arc<Deployment>,
) -> Result<()> {
    let http = deployment.http();
    let address = http.strip_prefix("http://").context("an address")?;
    let body = vec![b' '; 20 << 20];
    for (key, status) in [(deployment.api().key(), 413), ("no key", 401)] {
        let head = format!(
            "POST /v1/accounts/acme/events HTTP/1.1\r\nhost: {address}\r\n\
             authorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let exchange = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await.context("sending the body")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = timeout(Duration::from_secs(20), exchange).await??;
        let line = format!("HTTP/1.1 {status} ");
        ensure!(answer.starts_with(&line), "{answer}");
        ensure!(answer.contains("application/problem+json"), "{answer}");
    }
    Ok(())
}
