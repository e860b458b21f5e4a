//! Server-sent events, as the HTML standard writes them.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// An attempt in a list is a few hundred bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

/// One server-sent event.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) data: Value,
}

/// Server-sent events, as the HTML standard writes them; one line of data each.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Of the line that is not whole yet.
    rest: Vec<u8>,
    event: Event,
}

impl Events {
    /// The events that end in this chunk.
    pub(super) fn add(&mut self, chunk: &[u8]) -> Result<Vec<Event>> {
        let mut done = Vec::new();
        self.rest.extend_from_slice(chunk);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = std::str::from_utf8(&line).context("the stream is not UTF-8")?;
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.name.is_empty() {
                    done.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => self.event.name = value.to_owned(),
                "id" => self.event.id = value.to_owned(),
                "data" => {
                    let data = serde_json::from_str(value);
                    self.event.data = data.context("an event is not JSON")?;
                }
                // Comments, which keep the connection alive.
                _ => {}
            }
        }
        if self.rest.len() > MAX_LINE_BYTES {
            bail!("the stream is not one of attempts");
        }
        Ok(done)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_read_wherever_they_are_cut() {
        let text = b"id: 5-1\nevent: attempt\ndata: {\"id\":\"att_1\"}\n\n:\n\nevent: cursor\ndata: {}\n\n";
        let expected = [
            Event {
                name: "attempt".to_owned(),
                id: "5-1".to_owned(),
                data: json!({"id": "att_1"}),
            },
            Event {
                name: "cursor".to_owned(),
                id: String::new(),
                data: json!({}),
            },
        ];
        for cut in 0..text.len() {
            let mut events = Events::default();
            let mut read = events.add(&text[..cut]).unwrap();
            read.extend(events.add(&text[cut..]).unwrap());
            assert_eq!(read, expected, "cut at {cut}");
        }
    }
}
