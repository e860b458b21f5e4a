//! A name server of the test's own: what it answers is set name by name.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// What a name is.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// All of these addresses at once.
    Addresses(Vec<IpAddr>),
    /// One of these at a time, in turn, then from the beginning again.
    InTurn(Vec<IpAddr>),
    /// Another name.
    Alias(String),
}

#[derive(Debug, Default)]
struct Zone {
    names: HashMap<String, Answer>,
    /// How often a name was asked for, to answer in turn.
    asked: HashMap<String, usize>,
}

/// Answers over UDP until it is dropped.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _serving: JoinSet<()>,
}

impl Names {
    pub(super) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let mut serving = JoinSet::new();
        let served = Arc::clone(&zone);
        serving.spawn(async move {
            let mut buffer = [0; 1_024];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = served.lock().unwrap().answer(&buffer[..length]);
                let _ = socket.send_to(&answer, from).await;
            }
        });
        Self {
            address,
            zone,
            _serving: serving,
        }
    }

    pub(super) fn set(&self, name: &str, answer: Answer) {
        let mut zone = self.zone.lock().unwrap();
        zone.names.insert(name.to_owned(), answer);
    }
}

impl Zone {
    fn answer(&mut self, query: &[u8]) -> Vec<u8> {
        let (name, end) = read_name(query);
        let kind = u16::from_be_bytes([query[end], query[end + 1]]);
        let mut records = Vec::new();
        let mut found = self.names.contains_key(&name);
        self.resolve(&name, kind, 0, &mut records, &mut found);
        let status = if found { 0 } else { 3 };
        // An answer that allows recursion, with the question as it came.
        let mut answer = query[..2].to_vec();
        answer.extend([0x85, 0x80 | status, 0, 1]);
        answer.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
        answer.extend([0; 4]);
        answer.extend(&query[12..end + 4]);
        answer.extend(records.concat());
        answer
    }

    /// The records of a name, with those of the names that it leads to.
    fn resolve(
        &mut self,
        name: &str,
        kind: u16,
        depth: usize,
        records: &mut Vec<Vec<u8>>,
        found: &mut bool,
    ) {
        let Some(answer) = self.names.get(name).cloned() else {
            return;
        };
        *found = true;
        let is_kind = |address: &IpAddr| (kind == A) == address.is_ipv4();
        match answer {
            Answer::Addresses(addresses) => {
                let wanted = addresses.iter().filter(|address| is_kind(address));
                records.extend(wanted.map(|address| of_address(name, *address)));
            }
            Answer::InTurn(addresses) => {
                let count = self.asked.entry(format!("{name} {kind}")).or_default();
                let address = addresses[*count % addresses.len()];
                *count += 1;
                if is_kind(&address) {
                    records.push(of_address(name, address));
                }
            }
            Answer::Alias(target) => {
                records.push(record(name, CNAME, &write_name(&target)));
                // Half of a long chain has to be asked for again.
                if depth < 3 {
                    self.resolve(&target, kind, depth + 1, records, found);
                }
            }
        }
    }
}

fn of_address(name: &str, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => record(name, A, &address.octets()),
        IpAddr::V6(address) => record(name, AAAA, &address.octets()),
    }
}

fn record(name: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = write_name(name);
    record.extend(kind.to_be_bytes());
    // Class IN, no time to live.
    record.extend([0, 1, 0, 0, 0, 0]);
    record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend(data);
    record
}

fn write_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// The name that is asked for, and where it ends.
fn read_name(query: &[u8]) -> (String, usize) {
    let mut labels = Vec::new();
    let mut place = 12;
    while query[place] != 0 {
        let end = place + 1 + usize::from(query[place]);
        labels.push(String::from_utf8_lossy(&query[place + 1..end]).to_ascii_lowercase());
        place = end;
    }
    (labels.join("."), place + 1)
}
