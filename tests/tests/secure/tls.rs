//! TLS everywhere: callers, roles among themselves, nats-server, PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api::Api;
use harness::certificates::Authority;
use harness::deployment::{Deployment, Mode};
use harness::receiver::Receiver;
use harness::suite::Scenario;
use harness::wait::eventually;
use hyper_rustls::HttpsConnectorBuilder;
use proto::v1::PublishEventRequest;
use proto::v1::ingest_service_client::IngestServiceClient;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::Service as _;

const ACCOUNT: &str = "secured";
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn scenarios() -> Vec<Scenario<Mode>> {
    harness::scenarios![everything_speaks_tls_and_knows_its_callers]
}

async fn everything_speaks_tls_and_knows_its_callers(_: Mode) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ca = Authority::new(folder.path(), "ca")?;
    let stranger = Authority::new(folder.path(), "another-ca")?;
    ca.issue("server")?;
    ca.issue("client")?;
    ca.issue_expired("expired")?;
    stranger.issue("stranger")?;
    // PostgreSQL and its user read it too.
    open(folder.path())?;
    let deployment = Deployment::start_secured(folder.path(), &[]).await?;
    let api = deployment.api().over(http(ca.client(None)?)?);
    let receiver = Receiver::start().await?;

    // Through every role, nats-server and PostgreSQL, and back.
    let endpoint = api
        .endpoint(ACCOUNT, &receiver.url("hook"), &["message.report"])
        .await?;
    api.publish(ACCOUNT, "message.report", &json!({"by": "rest"}))
        .await?;
    receiver.wait_for("hook", 1, LIMIT).await?;
    eventually("the attempt is recorded", LIMIT, || async {
        let attempts = api.attempts(ACCOUNT, &endpoint).await?;
        ensure!(attempts.len() == 1, "{attempts:?}");
        Ok(())
    })
    .await?;

    callers_need_a_certificate(&deployment, &ca, &stranger).await?;
    a_kubelet_asks_in_plain_text(&deployment).await?;
    receiver.wait_for("hook", 2, LIMIT).await?;
    nobody_trusts_a_stranger(&deployment, &stranger).await?;
    a_new_certificate_is_used_without_a_restart(&deployment, &ca, &api).await?;
    let errors = deployment.errors_logged()?;
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(())
}

/// A kubelet's gRPC probes know no TLS.
async fn a_kubelet_asks_in_plain_text(deployment: &Deployment) -> Result<()> {
    for (role, service) in [
        ("ingest", "postrider.v1.IngestService"),
        ("history", "postrider.v1.HistoryService"),
        ("control", "postrider.v1.EndpointService"),
    ] {
        let admin = Endpoint::new(deployment.admin(role))?;
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut client = HealthClient::new(admin.connect().await?);
        let status = client.check(request).await?.into_inner().status();
        ensure!(status == ServingStatus::Serving, "{service}: {status:?}");
    }
    Ok(())
}

fn open(folder: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn http(tls: ClientConfig) -> Result<reqwest::Client> {
    let client = reqwest::Client::builder().no_proxy().timeout(LIMIT);
    Ok(client.tls_backend_preconfigured(tls).build()?)
}

/// Publishes over gRPC with these settings.
async fn publish(deployment: &Deployment, tls: ClientConfig) -> Result<()> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_only()
        .enable_http2()
        .build();
    let secure: Uri = deployment.grpc("ingest").parse()?;
    // tonic refuses https addresses whose TLS it does not do itself.
    let plain = deployment.grpc("ingest").replace("https:", "http:");
    let endpoint = Channel::from_shared(plain)?.timeout(LIMIT);
    let connector = tower::service_fn(move |_| connector.clone().call(secure.clone()));
    let channel = endpoint.connect_with_connector(connector).await?;
    let mut client = IngestServiceClient::new(channel);
    let event = PublishEventRequest {
        account: ACCOUNT.into(),
        r#type: "message.report".into(),
        object: "{}".into(),
        ..Default::default()
    };
    let mut request = tonic::Request::new(event);
    let key = format!("Bearer {}", deployment.admin_key()).parse()?;
    request.metadata_mut().insert("authorization", key);
    client.publish_event(request).await?;
    Ok(())
}

async fn callers_need_a_certificate(
    deployment: &Deployment,
    ca: &Authority,
    stranger: &Authority,
) -> Result<()> {
    publish(deployment, ca.client(Some("client"))?).await?;
    let refused = [
        ("no certificate", ca.client(None)?),
        ("an expired certificate", ca.client(Some("expired"))?),
        ("a stranger's certificate", ca.client(Some("stranger"))?),
        // The other way round: the caller does not trust the server.
        ("another authority", stranger.client(Some("stranger"))?),
    ];
    for (what, tls) in refused {
        let published = publish(deployment, tls).await;
        ensure!(published.is_err(), "{what} is enough");
    }
    let plain = deployment.grpc("ingest").replace("https:", "http:");
    let connected = Channel::from_shared(plain)?.connect().await;
    if let Ok(channel) = connected {
        let mut client = IngestServiceClient::new(channel);
        let asked = client.publish_event(PublishEventRequest::default()).await;
        let code = asked.err().context("plain text is refused")?.code();
        ensure!(
            code != tonic::Code::Unauthenticated,
            "plain text reaches the service"
        );
    }
    Ok(())
}

async fn nobody_trusts_a_stranger(deployment: &Deployment, stranger: &Authority) -> Result<()> {
    let api = deployment.api().over(http(stranger.client(None)?)?);
    ensure!(
        api.get("/v1/keys").await.is_err(),
        "another authority is trusted"
    );
    let plain = deployment.http().replace("https:", "http:");
    let asked = reqwest::get(format!("{plain}/openapi.json")).await;
    ensure!(asked.is_err(), "plain text is answered");
    Ok(())
}

/// The certificate that the HTTP address shows now.
async fn shown(deployment: &Deployment, tls: ClientConfig) -> Result<Vec<u8>> {
    let url = deployment.http();
    let address = url.strip_prefix("https://").context("https")?;
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("127.0.0.1")?;
    let stream = TlsConnector::from(Arc::new(tls))
        .connect(name, stream)
        .await?;
    let certificates = stream.get_ref().1.peer_certificates();
    Ok(certificates
        .and_then(|all| all.first())
        .context("one")?
        .to_vec())
}

async fn a_new_certificate_is_used_without_a_restart(
    deployment: &Deployment,
    ca: &Authority,
    api: &Api,
) -> Result<()> {
    let before = shown(deployment, ca.client(None)?).await?;
    ca.issue("server")?;
    eventually("the new certificate is shown", LIMIT, || async {
        let now = shown(deployment, ca.client(None)?).await?;
        ensure!(now != before, "it is the old one");
        Ok(())
    })
    .await?;
    deployment.all_running()?;
    // Connections that are there go on, and new ones are made among the roles.
    api.publish(ACCOUNT, "message.report", &json!({"after": true}))
        .await?;
    publish(deployment, ca.client(Some("client"))?).await
}
