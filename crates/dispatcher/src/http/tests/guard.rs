//! Wherever a URL or a name may lead: to a server that is let through, or
//! nowhere. Another server listens on the private addresses of this machine, on
//! the same port; nothing may ever reach it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::egress::{Allowance, Policy};

use super::names::{Answer, Names};
use super::*;

/// Stands for a public address: it is let through, and the rest of loopback is
/// not.
const PERMITTED: &str = "127.0.0.2";

const PRIVATE_V4: [&str; 30] = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.0.0.3",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.254",
    "255.255.255.255",
    "127.1.1.1",
];

const PRIVATE_V6: [&str; 24] = [
    "::",
    "::1",
    "::2",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
];

/// Hosts as they may be written in a URL, none of which leads anywhere.
const WRITTEN: [&str; 40] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",
    "0x0",
    "10.1",
    "167772161",
    "0xa000001",
    "012.0.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[fe80::1]",
    "[fd00::1]",
    "[2002:7f00:1::]",
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "%31%32%37.0.0.1",
    "127%2e0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "metadata.google.internal",
];

struct World {
    names: Names,
    client: Client,
    port: u16,
    /// Connections to what is not let through.
    trapped: Arc<AtomicUsize>,
    /// What each server is kept by.
    _servers: JoinSet<()>,
    tried: AtomicUsize,
}

impl World {
    async fn start() -> Self {
        let listener = TcpListener::bind((PERMITTED, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut servers = JoinSet::new();
        servers.spawn(serve(listener, None));
        let trapped = Arc::new(AtomicUsize::new(0));
        for private in ["127.0.0.1", "127.0.0.3", "127.1.1.1", "::1"] {
            let listener = TcpListener::bind((private, port)).await.unwrap();
            servers.spawn(serve(listener, Some(Arc::clone(&trapped))));
        }
        let names = Names::start().await;
        let client = Client::new(Settings {
            policy: policy(),
            way: Way {
                name_servers: vec![names.address],
                ..Way::default()
            },
            timeout: TIMEOUT * 5,
            tracker: TaskTracker::new(),
        })
        .unwrap();
        Self {
            names,
            client,
            port,
            trapped,
            _servers: servers,
            tried: AtomicUsize::new(0),
        }
    }

    async fn post(&self, host: &str) -> Exchange {
        self.tried.fetch_add(1, Ordering::Relaxed);
        let account = AccountId::parse("acme").unwrap();
        let url = format!("http://{host}:{}/hook", self.port);
        let body = Bytes::from_static(b"{\"n\":1}");
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let target = self.client.target(&account, &url);
        let exchange = self
            .client
            .post(&account, &target, headers, body, TIMEOUT * 5);
        let exchange = exchange.await;
        assert_eq!(
            self.trapped.load(Ordering::SeqCst),
            0,
            "{host}: {exchange:?}"
        );
        exchange
    }

    async fn leads_nowhere(&self, host: &str) {
        let exchange = self.post(host).await;
        let refused = Some(FailureClass::EgressDenied);
        assert_eq!(class(&exchange), refused, "{host}: {exchange:?}");
    }

    async fn arrives(&self, host: &str) {
        let exchange = self.post(host).await;
        assert_eq!(exchange.failure, None, "{host}");
    }
}

fn policy() -> Policy {
    Policy {
        allow: vec![format!("{PERMITTED}/32").parse::<Allowance>().unwrap()],
        allow_http: true,
        ..Policy::default()
    }
}

/// Answers 200 and closes, so that each POST is a connection of its own; or
/// counts.
async fn serve(listener: TcpListener, trapped: Option<Arc<AtomicUsize>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        if let Some(trapped) = &trapped {
            trapped.fetch_add(1, Ordering::SeqCst);
        }
        let answered = async {
            read_request(&mut stream).await?;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await
        };
        let _ = tokio::time::timeout(TIMEOUT, answered).await;
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn answer(addresses: &[&str]) -> Answer {
    Answer::Addresses(addresses.iter().map(|text| address(text)).collect())
}

#[tokio::test]
async fn no_url_and_no_answer_of_a_name_server_leads_inside() {
    let world = World::start().await;
    for host in WRITTEN {
        world.leads_nowhere(host).await;
    }
    names_that_are_private(&world).await;
    names_that_are_mixed(&world).await;
    names_that_lead_to_others(&world).await;
    names_that_change(&world).await;
    let tried = world.tried.load(Ordering::Relaxed);
    assert!(tried >= 150, "{tried} were tried");
}

async fn names_that_are_private(world: &World) {
    for (place, private) in PRIVATE_V4.iter().chain(&PRIVATE_V6).enumerate() {
        let name = format!("private-{place}.example.com");
        world.names.set(&name, answer(&[private]));
        world.leads_nowhere(&name).await;
    }
    world.names.set("all.example.com", answer(&PRIVATE_V4));
    world.leads_nowhere("all.example.com").await;
}

/// What is public among the answers is used, and nothing else.
async fn names_that_are_mixed(world: &World) {
    for (place, private) in PRIVATE_V4.iter().enumerate().take(20) {
        let name = format!("mixed-{place}.example.com");
        world.names.set(&name, answer(&[private, PERMITTED]));
        world.arrives(&name).await;
    }
    for (place, private) in PRIVATE_V6.iter().enumerate().take(12) {
        let name = format!("mixed-six-{place}.example.com");
        world.names.set(&name, answer(&[PERMITTED, private]));
        world.arrives(&name).await;
    }
}

async fn names_that_lead_to_others(world: &World) {
    let chain = |length: usize, end: &str, to: &str| {
        for step in 0..length {
            let next = match step + 1 {
                last if last == length => end.to_owned(),
                next => format!("{to}-{length}-{next}.example.com"),
            };
            let name = format!("{to}-{length}-{step}.example.com");
            world.names.set(&name, Answer::Alias(next));
        }
        format!("{to}-{length}-0.example.com")
    };
    world
        .names
        .set("inside.example.com", answer(&["127.0.0.1", "::1"]));
    world.names.set("outside.example.com", answer(&[PERMITTED]));
    // A name that means something inside, and one that is an address.
    world.names.set("db.internal", answer(&["10.0.0.7"]));
    world.names.set("localhost", answer(&["127.0.0.1"]));
    for length in 1..=6 {
        let inside = chain(length, "inside.example.com", "in");
        world.leads_nowhere(&inside).await;
        let outside = chain(length, "outside.example.com", "out");
        world.arrives(&outside).await;
    }
    for (place, inner) in ["db.internal", "localhost"].into_iter().enumerate() {
        let name = format!("alias-{place}.example.com");
        world.names.set(&name, Answer::Alias(inner.to_owned()));
        world.leads_nowhere(&name).await;
    }
    world.names.set(
        "loop.example.com",
        Answer::Alias("pool.example.com".to_owned()),
    );
    world.names.set(
        "pool.example.com",
        Answer::Alias("loop.example.com".to_owned()),
    );
    for name in ["loop.example.com", "nowhere.example.com"] {
        let exchange = world.post(name).await;
        assert_eq!(
            class(&exchange),
            Some(FailureClass::Dns),
            "{name}: {exchange:?}"
        );
    }
}

/// A name that is public when it is looked at and private when it is used.
async fn names_that_change(world: &World) {
    let turns = [PERMITTED, "127.0.0.1", "127.0.0.3", "10.0.0.1"].map(address);
    let name = "rebinding.example.com";
    world.names.set(name, Answer::InTurn(turns.to_vec()));
    for turn in 0..12 {
        let exchange = world.post(name).await;
        let expected = (turn % 4 != 0).then_some(FailureClass::EgressDenied);
        assert_eq!(class(&exchange), expected, "turn {turn}: {exchange:?}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let world = World::start().await;
    for status in [301, 302, 303, 307, 308] {
        for to in ["127.0.0.1", "[::1]", "127.0.0.3"] {
            let location = format!("http://{to}:{}/", world.port);
            let head = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\n");
            let server = Server::answering(format!("{head}content-length: 0\r\n\r\n")).await;
            let exchange = post(&local(), &server.url()).await;
            assert_eq!(class(&exchange), Some(FailureClass::HttpStatus), "{status}");
        }
    }
    assert_eq!(world.trapped.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_one_account_may_reach_no_other_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                // Connections stay open, to be used again.
                while read_request(&mut stream)
                    .await
                    .is_ok_and(|text| !text.is_empty())
                {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    let account = |name| AccountId::parse(name).unwrap();
    let own = vec!["127.0.0.1/32".parse::<Allowance>().unwrap()];
    let client = client(Policy {
        allow_http: true,
        accounts: [(account("acme"), own)].into(),
        ..Policy::default()
    });
    let url = format!("http://127.0.0.1:{port}/");
    for _ in 0..3 {
        let body = Bytes::from_static(b"{\"n\":1}");
        let post = |name| {
            let headers = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(7))]);
            let (client, url, body) = (&client, &url, body.clone());
            async move {
                let account = account(name);
                let target = client.target(&account, url);
                client.post(&account, &target, headers, body, TIMEOUT).await
            }
        };
        assert_eq!(post("acme").await.failure, None);
        assert_eq!(
            class(&post("other").await),
            Some(FailureClass::EgressDenied)
        );
    }
}

/// The proxy is told an address, and never one that is private.
#[tokio::test]
async fn a_proxy_is_asked_for_judged_addresses_only() {
    let (told, mut asked) = tokio::sync::mpsc::channel(8);
    let proxy = Server::start(move |mut stream| {
        let told = told.clone();
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            let _ = told.send(String::from_utf8(head).unwrap()).await;
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
            // From here on it is the endpoint's server.
            read_request(&mut stream).await?;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await
        }
    })
    .await;
    let names = Names::start().await;
    names.set("public.example.com", answer(&["93.184.216.34"]));
    names.set("private.example.com", answer(&["127.0.0.1", "10.0.0.1"]));
    let client = Client::new(Settings {
        policy: Policy {
            allow_http: true,
            ..Policy::default()
        },
        way: Way {
            name_servers: vec![names.address],
            proxy: Some(
                crate::http::Proxy::parse(&format!("http://me:pw@127.0.0.1:{}", proxy.port))
                    .unwrap(),
            ),
            ..Way::default()
        },
        timeout: TIMEOUT * 5,
        tracker: TaskTracker::new(),
    })
    .unwrap();
    assert_eq!(
        post(&client, "http://public.example.com:8080/")
            .await
            .failure,
        None
    );
    let head = asked.recv().await.unwrap();
    assert!(
        head.starts_with("CONNECT 93.184.216.34:8080 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains("Proxy-Authorization: Basic bWU6cHc=\r\n"),
        "{head}"
    );
    for host in ["private.example.com", "127.0.0.1", "[::1]"] {
        let exchange = post(&client, &format!("http://{host}:8080/")).await;
        assert_eq!(class(&exchange), Some(FailureClass::EgressDenied), "{host}");
    }
    assert!(
        asked.try_recv().is_err(),
        "the proxy hears nothing of these"
    );
}
