//! The configuration file of the supervised nats-server.

use std::path::{Path, PathBuf};

use crate::config::NatsSync;

/// A plan of an account with 10,000 endpoints still fits into one message.
const MAX_PAYLOAD_BYTES: usize = 4 << 20;

/// Where its files are and who may connect.
#[derive(Clone)]
pub(super) struct Settings {
    dir: PathBuf,
    sync: NatsSync,
    password: String,
}

// The password stays out of it.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Settings {
    pub(super) fn new(dir: &Path, sync: NatsSync, password: String) -> Self {
        Self {
            dir: dir.to_owned(),
            sync,
            password,
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.dir.join("nats.conf")
    }

    /// Held by the running server, so that two never share a store.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.dir.join("nats.lock")
    }

    /// The address for clients.
    pub(super) fn url(&self, port: u16) -> String {
        format!("nats://postrider:{}@127.0.0.1:{port}", self.password)
    }

    /// The file's text. Without a port the server chooses one and writes it
    /// into a ports file.
    pub(super) fn text(&self, port: Option<u16>) -> String {
        let port = port.map_or("-1".to_owned(), |port| port.to_string());
        let sync = match self.sync {
            NatsSync::Always => "always".to_owned(),
            NatsSync::Every(interval) => format!("\"{}ms\"", interval.as_millis()),
        };
        format!(
            "server_name: postrider\n\
             listen: \"127.0.0.1:{port}\"\n\
             ports_file_dir: {dir}\n\
             max_payload: {MAX_PAYLOAD_BYTES}\n\
             authorization {{ user: postrider, password: {password} }}\n\
             jetstream {{ store_dir: {store}, sync_interval: {sync} }}\n",
            dir = quoted(&self.dir),
            password = quoted(Path::new(&self.password)),
            store = quoted(&self.dir.join("jetstream")),
        )
    }
}

/// A string of nats-server's configuration language.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn asks_for_a_port_first_and_keeps_it_then() {
        let settings = Settings::new(Path::new("/data/na\"ts"), NatsSync::Always, "p".into());
        let text = settings.text(None);
        assert!(text.contains("listen: \"127.0.0.1:-1\""), "{text}");
        assert!(text.contains("sync_interval: always"), "{text}");
        assert!(text.contains(r#"ports_file_dir: "/data/na\"ts""#), "{text}");
        assert!(
            settings
                .text(Some(4222))
                .contains("listen: \"127.0.0.1:4222\"")
        );
    }

    #[test]
    fn writes_an_interval_in_the_servers_units() {
        let sync = NatsSync::Every(Duration::from_secs(1));
        let text = Settings::new(Path::new("/data"), sync, "p".into()).text(None);
        assert!(text.contains("sync_interval: \"1000ms\""), "{text}");
    }
}
