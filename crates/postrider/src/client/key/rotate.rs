//! `postrider key rotate-master`

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::vault::MasterKey;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use crate::client::output::line;
use crate::client::{Api, Connection};
use crate::data_dir::write_private;
use crate::master_key::POLL;

/// For a key to become known, and for each step of sealing anew.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// What `key rotate-master` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    /// The file that the processes read their master keys from, e.g.
    /// data/master.key: a new key is added to it, and the old ones are removed
    /// when nothing is sealed under them any more. Without it, add the key to
    /// POSTRIDER_MASTER_KEY yourself before, in every process
    #[arg(long)]
    master_key_file: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Rotates, and returns when everything is sealed under the new key.
///
/// # Errors
///
/// When the file cannot be written, or it is not finished in time.
pub(super) async fn run(rotate: Rotate) -> Result<()> {
    let api = Api::open(&rotate.connection)?;
    if let Some(path) = &rotate.master_key_file {
        let id = add_key(path)?;
        line(&format!("added the master key {id} to {}", path.display()))?;
        until_known(&api, &id).await?;
        // Other processes look at the file as often.
        sleep(2 * POLL).await;
    }
    let begun = api
        .send_json(Method::POST, "/v1/master-keys/rotate", &json!({}))
        .await?;
    let active = active(&begun)?;
    until_sealed(&api, &active).await?;
    line(&format!(
        "everything is sealed under the master key {active}"
    ))?;
    match &rotate.master_key_file {
        Some(path) => remove_others(path, &active),
        None => line("remove the other keys from POSTRIDER_MASTER_KEY now"),
    }
}

fn add_key(path: &Path) -> Result<String> {
    let old = read(path)?;
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(random.as_mut_slice()).context("the system has no randomness")?;
    let new = Zeroizing::new(STANDARD.encode(random.as_slice()));
    let text = Zeroizing::new(format!("{}\n{}\n", old.trim_end(), new.as_str()));
    write_private(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(MasterKey::from_bytes(*random).id())
}

fn remove_others(path: &Path, active: &str) -> Result<()> {
    let text = read(path)?;
    let kept = text
        .split_whitespace()
        .find(|key| MasterKey::from_base64(key).is_ok_and(|key| key.id() == active));
    let kept = kept.with_context(|| format!("{} lacks the key in use", path.display()))?;
    write_private(path, &format!("{kept}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn read(path: &Path) -> Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(path);
    text.map(Zeroizing::new)
        .with_context(|| format!("cannot read {}", path.display()))
}

fn keys(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["master_keys"].as_array().into_iter().flatten()
}

fn active(answer: &Value) -> Result<String> {
    let found = keys(answer).find(|key| key["active"] == true);
    let id = found.and_then(|key| key["id"].as_str());
    Ok(id.context("the answer names no active key")?.to_owned())
}

async fn until_known(api: &Api, id: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        let answer = api.get("/v1/master-keys", &[]).await?;
        if keys(&answer).any(|key| key["id"] == id && key["configured"] == true) {
            return Ok(());
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "control does not read the new key: is it the file of POSTRIDER_MASTER_KEY_FILE?"
        );
        sleep(PAUSE).await;
    }
}

async fn until_sealed(api: &Api, active: &str) -> Result<()> {
    let mut left = u64::MAX;
    let mut progress = Instant::now();
    loop {
        let answer = api.get("/v1/master-keys", &[]).await?;
        let others = keys(&answer).filter(|key| key["id"] != active);
        let now: u64 = others.filter_map(|key| key["sealed"].as_u64()).sum();
        // Dispatchers still have what is sealed under an earlier key.
        let now = now + answer["untold"].as_u64().unwrap_or(0);
        if now == 0 {
            return Ok(());
        }
        if now < left {
            (left, progress) = (now, Instant::now());
        }
        ensure!(
            progress.elapsed() < PATIENCE,
            "{now} secrets stay under other keys: are these still configured?"
        );
        sleep(PAUSE).await;
    }
}
