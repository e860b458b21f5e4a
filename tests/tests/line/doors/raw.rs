//! gRPC without generated code: methods as reflection describes them, messages
//! as bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::{Buf as _, BufMut as _, Bytes};
use futures::StreamExt as _;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorProto};
use tokio::time::timeout;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const LIMIT: Duration = Duration::from_secs(10);

/// A method of a service, and what its request holds.
#[derive(Debug, Clone)]
pub(super) struct Method {
    /// `/package.Service/Method`.
    pub(super) path: String,
    pub(super) name: String,
    input: String,
    messages: BTreeMap<String, DescriptorProto>,
}

impl Method {
    /// Its request, with what `text` says for each field that is a text.
    /// Messages within are filled too.
    pub(super) fn request(&self, text: &dyn Fn(&str) -> Option<String>) -> Vec<u8> {
        self.encode(&self.input, text)
    }

    fn encode(&self, message: &str, text: &dyn Fn(&str) -> Option<String>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Some(descriptor) = self.messages.get(message) else {
            return bytes;
        };
        for field in &descriptor.field {
            let content = match field.r#type() {
                Type::String => text(field.name()).map(String::into_bytes),
                // Only what is published stands within another message.
                Type::Message if field.type_name().ends_with(".PublishEventRequest") => {
                    Some(self.encode(field.type_name(), text))
                }
                _ => None,
            };
            if let Some(content) = content {
                let tag = u32::try_from(field.number()).unwrap_or_default();
                encode_key(tag, WireType::LengthDelimited, &mut bytes);
                encode_varint(content.len() as u64, &mut bytes);
                bytes.extend(content);
            }
        }
        bytes
    }
}

/// Every method of the `postrider` services that the server describes.
pub(super) async fn reflected(url: &str) -> Result<Vec<Method>> {
    let channel = Channel::from_shared(url.to_owned())?.connect().await?;
    let mut client = ServerReflectionClient::new(channel);
    let services = match ask(&mut client, MessageRequest::ListServices(String::new())).await? {
        MessageResponse::ListServicesResponse(list) => list.service,
        other => anyhow::bail!("{other:?}"),
    };
    let mut methods = Vec::new();
    for service in services {
        if !service.name.starts_with("postrider.") {
            continue;
        }
        let symbol = MessageRequest::FileContainingSymbol(service.name.clone());
        let files = match ask(&mut client, symbol).await? {
            MessageResponse::FileDescriptorResponse(files) => files.file_descriptor_proto,
            other => anyhow::bail!("{other:?}"),
        };
        for file in files {
            methods.extend(of_file(&FileDescriptorProto::decode(file.as_slice())?));
        }
    }
    Ok(methods)
}

/// The methods of one file's services.
pub(super) fn of_file(file: &FileDescriptorProto) -> Vec<Method> {
    let package = file.package();
    let messages: BTreeMap<String, DescriptorProto> = file
        .message_type
        .iter()
        .map(|message| (format!(".{package}.{}", message.name()), message.clone()))
        .collect();
    let services = file.service.iter();
    let methods = services.flat_map(|service| {
        let messages = &messages;
        service.method.iter().map(move |method| Method {
            path: format!("/{package}.{}/{}", service.name(), method.name()),
            name: method.name().to_owned(),
            input: method.input_type().to_owned(),
            messages: messages.clone(),
        })
    });
    methods.collect()
}

async fn ask(
    client: &mut ServerReflectionClient<Channel>,
    question: MessageRequest,
) -> Result<MessageResponse> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let questions = futures::stream::iter([request]);
    let mut answers = client.server_reflection_info(questions).await?.into_inner();
    let answer = answers.message().await?.context("an answer")?;
    answer.message_response.context("an answer of some kind")
}

/// Calls a method, whatever its kind, with one message; the first message that
/// comes back, or how the call ended.
pub(super) async fn call(
    url: &str,
    path: &str,
    token: Option<&str>,
    message: Vec<u8>,
) -> Result<Result<Bytes, Status>> {
    let channel = Channel::from_shared(url.to_owned())?.connect().await?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    // The caller's side stays open: a stream ends by the other side's word.
    let messages = futures::stream::iter([Bytes::from(message)]).chain(futures::stream::pending());
    let unary = !path.ends_with("StreamEvents");
    let mut request = Request::new(messages.take(if unary { 1 } else { usize::MAX }));
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse()?;
        request.metadata_mut().insert("authorization", value);
    }
    let path = path.parse()?;
    let called = timeout(LIMIT, client.streaming(request, path, Plain)).await;
    let mut answers = match called.context("no answer")? {
        Ok(answers) => answers.into_inner(),
        Err(status) => return Ok(Err(status)),
    };
    match timeout(LIMIT, answers.next()).await {
        Ok(Some(first)) => Ok(first),
        Ok(None) => Ok(Ok(Bytes::new())),
        // A stream of what happens: nothing does.
        Err(_) => Ok(Ok(Bytes::new())),
    }
}

/// Messages as they are on the wire.
#[derive(Debug, Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
