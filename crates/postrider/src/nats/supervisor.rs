//! Keeps one nats-server running.
//!
//! A thread of its own starts it and waits for it: the kernel ties the child's
//! life to the *thread* that forked it, and the runtime's threads come and go.

use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::child;
use super::disk::Disk;
use super::settings::Settings;
use crate::config::NatsSync;
use crate::data_dir;

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A server that ran this long was well: the next pause is short again.
const STEADY: Duration = Duration::from_secs(30);

/// Why the supervised nats-server did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot prepare nats-server")]
    Prepare(#[source] io::Error),
    #[error("cannot start nats-server")]
    Spawn(#[source] io::Error),
    #[error("nats-server ended at its start ({0}): its last lines are in the log above")]
    Ended(ExitStatus),
    #[error("nats-server did not listen within 30 s")]
    Late,
}

/// A running nats-server. Dropping it without [`Supervisor::stop`] leaves the
/// server running until this process ends.
#[derive(Debug)]
pub(crate) struct Supervisor {
    url: SecretString,
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Supervisor {
    /// Starts `program` with its store below `dir` and waits until it listens,
    /// at most 30 s.
    ///
    /// # Errors
    ///
    /// When it does not come up the first time. Later it is restarted for as
    /// long as it takes.
    pub(crate) async fn start(
        program: PathBuf,
        dir: &Path,
        sync: NatsSync,
    ) -> Result<Self, StartError> {
        let password = data_dir::random_hex().map_err(StartError::Prepare)?;
        let settings = Settings::new(dir, sync, password);
        let (stop, stopped) = mpsc::channel();
        let (started, first_start) = oneshot::channel();
        let server = Server {
            program,
            settings: settings.clone(),
            disk: Disk::of(dir),
            port: None,
        };
        let thread = std::thread::Builder::new()
            .name("nats-supervisor".into())
            .spawn(move || supervise(server, started, &stopped))
            .map_err(StartError::Prepare)?;
        // The thread reports within START_LIMIT.
        let port = first_start.await.unwrap_or(Err(StartError::Late))?;
        info!(port, "nats-server is running");
        Ok(Self {
            url: settings.url(port).into(),
            stop,
            thread,
        })
    }

    /// The address for clients, with the password.
    pub(crate) fn url(&self) -> &SecretString {
        &self.url
    }

    /// Ends the server and waits for it, at most 10 s; then it is killed.
    pub(crate) async fn stop(self) {
        // Fails if the thread has ended, which is what is wanted.
        let _ = self.stop.send(());
        let thread = self.thread;
        if tokio::task::spawn_blocking(move || thread.join())
            .await
            .is_err()
        {
            warn!("the supervisor of nats-server could not be awaited");
        }
    }
}

/// What is needed to start it again.
#[derive(Debug)]
struct Server {
    program: PathBuf,
    settings: Settings,
    disk: Disk,
    /// Chosen by the first start; clients know only this one.
    port: Option<u16>,
}

/// How one run of the server ended.
enum End {
    Stopped,
    /// Ended by us, so that it writes again.
    RoomAgain,
    Exited(ExitStatus),
}

fn supervise(
    mut server: Server,
    started: oneshot::Sender<Result<u16, StartError>>,
    stopped: &mpsc::Receiver<()>,
) {
    let mut child = match server.first_start() {
        Ok((child, port)) => {
            // Nobody waits for it any more if standalone is already ending.
            let _ = started.send(Ok(port));
            child
        }
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        match wait(&mut child, &mut server.disk, stopped) {
            Ok(End::Stopped) => return,
            Ok(End::RoomAgain) => {}
            Ok(End::Exited(status)) => warn!(%status, "nats-server ended: starting it again"),
            Err(error) => warn!(%error, "waiting for nats-server failed: starting it again"),
        }
        if since.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        child = loop {
            match stopped.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            match server.spawn() {
                Ok(child) => break child,
                Err(error) => warn!(%error, "nats-server cannot be started: trying again"),
            }
        };
    }
}

impl Server {
    fn first_start(&mut self) -> Result<(Child, u16), StartError> {
        let mut child = self.spawn().map_err(StartError::Spawn)?;
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(StartError::Spawn)? {
                return Err(StartError::Ended(status));
            }
            if let Some(port) = self.written_port(child.id()) {
                self.port = Some(port);
                return Ok((child, port));
            }
            if started.elapsed() > START_LIMIT {
                end(&mut child);
                return Err(StartError::Late);
            }
            std::thread::sleep(POLL);
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let dir = self.settings.dir();
        std::fs::create_dir_all(dir)?;
        self.remove_ports_files()?;
        data_dir::write_private(&self.settings.config_file(), &self.settings.text(self.port))?;
        let mut command = Command::new(own_program()?);
        child::Arguments {
            parent: std::process::id(),
            lock: self.settings.lock_file(),
            program: self.program.clone(),
            config: self.settings.config_file(),
        }
        .apply(&mut command);
        let mut child = command
            // A Ctrl-C in the terminal is for us: the server is stopped last.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(lines) = child.stderr.take() {
            let disk = self.disk.clone();
            // Ends with the child, whose end closes the pipe.
            std::thread::Builder::new()
                .name("nats-log".into())
                .spawn(move || {
                    BufReader::new(lines)
                        .lines()
                        .map_while(Result::ok)
                        .for_each(|line| {
                            disk.heed(&line);
                            log(line);
                        })
                })?;
        }
        Ok(child)
    }

    fn remove_ports_files(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.settings.dir())? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "ports")
            {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// From `nats-server_<pid>.ports`; none until it is written wholly.
    fn written_port(&self, pid: u32) -> Option<u16> {
        let path = self.settings.dir().join(format!("nats-server_{pid}.ports"));
        let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let url = ports["nats"].get(0)?.as_str()?;
        url.rsplit(':').next()?.parse().ok()
    }
}

/// Our own program, even if its file was replaced meanwhile.
fn own_program() -> io::Result<PathBuf> {
    let link = Path::new("/proc/self/exe");
    if link.exists() {
        Ok(link.to_owned())
    } else {
        std::env::current_exe()
    }
}

fn wait(child: &mut Child, disk: &mut Disk, stopped: &mpsc::Receiver<()>) -> io::Result<End> {
    loop {
        if disk.has_room_again() {
            end(child);
            return Ok(End::RoomAgain);
        }
        if let Some(status) = child.try_wait()? {
            return Ok(End::Exited(status));
        }
        match stopped.recv_timeout(POLL) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                end(child);
                return Ok(End::Stopped);
            }
        }
    }
}

/// Asks the server to end, and kills it if it does not.
fn end(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
    let started = Instant::now();
    while asked && started.elapsed() < STOP_LIMIT {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(POLL),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    warn!("nats-server did not end in time: killing it");
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        warn!(%error, "nats-server cannot be killed");
    }
}

/// Passes on a line of the server's log.
fn log(line: String) {
    // "[123] 2026/01/02 03:04:05.678901 [INF] text"
    match line
        .split_once("] ")
        .and_then(|(_, rest)| rest.split_once(" ["))
    {
        Some((_, text)) if text.starts_with("INF") || text.starts_with("DBG") => {
            debug!(target: "nats_server", "[{text}");
        }
        // It stands in a file that only we can read, for this run only.
        Some((_, text)) if text.contains("Plaintext passwords") => {}
        Some((_, text)) => warn!(target: "nats_server", "[{text}"),
        None => warn!(target: "nats_server", "{line}"),
    }
}
