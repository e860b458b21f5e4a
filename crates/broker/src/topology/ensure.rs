//! Bringing streams and buckets into being, or up to what is wanted.

use std::num::NonZeroU16;

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::jetstream::{ErrorCode, kv};
use domain::Partitions;
use tracing::warn;

use super::{DELIVERIES, RETRIES, Settings, is_moving, stored_partitions, streams};
use crate::directory::Bucket;
use crate::{Broker, Error};

/// What becomes of a stream or bucket that is there and differs from the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differing {
    /// It is changed.
    Changed,
    /// It is left as it is, if one can work with it: an operator may have changed
    /// it, or a later version.
    Left,
}

impl Broker {
    /// Brings the streams and buckets into being, and perhaps up to these
    /// settings. Every role may do it, again and again.
    ///
    /// # Errors
    ///
    /// [`Error::PartitionsChanged`], or an outage.
    pub async fn ensure_topology(
        &self,
        settings: &Settings,
        differing: Differing,
    ) -> Result<(), Error> {
        self.check_partitions(settings.partitions).await?;
        for config in streams(settings) {
            self.ensure_stream(config, differing).await?;
        }
        // Somebody else may have created it first, with another count.
        self.check_partitions(settings.partitions).await?;
        for bucket in Bucket::ALL {
            if self
                .bucket_stands(bucket, settings.replicas, differing)
                .await?
            {
                continue;
            }
            let config = kv::Config {
                bucket: bucket.name().to_owned(),
                history: 1,
                max_age: bucket.max_age().unwrap_or_default(),
                storage: StorageType::File,
                num_replicas: settings.replicas,
                ..kv::Config::default()
            };
            self.jetstream
                .create_or_update_key_value(config)
                .await
                .map_err(Error::unavailable)?;
        }
        self.set_partitions(Partitions::new(settings.partitions));
        Ok(())
    }

    /// For how many partitions the streams were made: `untold` if nothing says so any
    /// more, `None` before the first start.
    ///
    /// # Errors
    ///
    /// An outage.
    pub async fn made_for(&self, untold: NonZeroU16) -> Result<Option<NonZeroU16>, Error> {
        if let Some(deliveries) = self.stream_config(DELIVERIES).await? {
            return Ok(Some(stored_partitions(&deliveries).unwrap_or(untold)));
        }
        let retries = self.stream_config(RETRIES).await?;
        Ok(retries.map(|_| untold))
    }

    /// Looks first: who may not change streams can run on those that
    /// `postrider migrate` made.
    async fn ensure_stream(&self, wanted: Config, differing: Differing) -> Result<(), Error> {
        if let Some(found) = self.stream_config(&wanted.name).await? {
            if fulfils(&found, &wanted) {
                return Ok(());
            }
            if differing == Differing::Left && serves(&found, &wanted) {
                warn!(
                    stream = wanted.name,
                    "the stream {} is not as it is set here: it is left so, and `postrider \
                     migrate` would change it",
                    wanted.name
                );
                return Ok(());
            }
        }
        let ensured = self.jetstream.create_or_update_stream(wanted).await;
        ensured.map(|_| ()).map_err(Error::unavailable)
    }

    async fn bucket_stands(
        &self,
        bucket: Bucket,
        replicas: usize,
        differing: Differing,
    ) -> Result<bool, Error> {
        let found = self.stream_config(&bucket.stream()).await?;
        let max_age = bucket.max_age().unwrap_or_default();
        let is_so = |found: Config| found.num_replicas == replicas && found.max_age == max_age;
        Ok(found.is_some_and(|found| differing == Differing::Left || is_so(found)))
    }

    async fn check_partitions(&self, configured: NonZeroU16) -> Result<(), Error> {
        let Some(config) = self.stream_config(DELIVERIES).await? else {
            return Ok(());
        };
        match stored_partitions(&config) {
            Some(stored) if stored != configured => {
                Err(Error::PartitionsChanged { stored, configured })
            }
            _ if is_moving(&config) => Err(Error::unavailable(
                "what waits is being moved to other partitions, and `postrider migrate \
                 --repartition` has not ended yet",
            )),
            _ => Ok(()),
        }
    }

    /// `None`: there is no such stream.
    pub(crate) async fn stream_config(&self, name: &str) -> Result<Option<Config>, Error> {
        match self.jetstream.get_stream(name).await {
            Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(inner)
                    if inner.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(None)
                }
                _ => Err(Error::unavailable(error)),
            },
        }
    }
}

/// Whether a stream is as it should be. The server fills in what is left open,
/// so only what `streams` sets is compared.
fn fulfils(found: &Config, wanted: &Config) -> bool {
    let same_window =
        wanted.duplicate_window.is_zero() || found.duplicate_window == wanted.duplicate_window;
    let per_subject = |config: &Config| config.max_messages_per_subject.max(0);
    let kept = |config: &Config| {
        (
            config.subjects.clone(),
            config.max_age,
            config.num_replicas,
            per_subject(config),
        )
    };
    same_window && kept(found) == kept(wanted) && serves(found, wanted)
}

/// Whether one can work with a stream, however long and in how many copies it keeps
/// its messages.
fn serves(found: &Config, wanted: &Config) -> bool {
    let mut marks = wanted.metadata.iter();
    let same_marks = marks.all(|(key, value)| found.metadata.get(key) == Some(value));
    let mut subjects = wanted.subjects.iter();
    let has_subjects = subjects.all(|subject| found.subjects.contains(subject));
    let same_kind = (found.retention, found.discard) == (wanted.retention, wanted.discard);
    // Schedules allow roll-ups too, says the server.
    let lacks = |flag: fn(&Config) -> bool| flag(wanted) && !flag(found);
    let allows_less = lacks(|config| config.allow_direct)
        || lacks(|config| config.allow_rollup)
        || lacks(|config| config.deny_delete)
        || lacks(|config| config.allow_message_ttl)
        || lacks(|config| config.allow_message_schedules);
    same_marks && has_subjects && same_kind && !allows_less
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn settings() -> Settings {
        Settings {
            partitions: NonZeroU16::MIN,
            duplicate_window: Duration::from_secs(60),
            replicas: 3,
        }
    }

    #[test]
    fn what_the_server_fills_in_is_no_difference_and_what_we_set_is() {
        for wanted in streams(&settings()) {
            let mut found = wanted.clone();
            found.max_messages = -1;
            found.max_messages_per_subject = match wanted.max_messages_per_subject {
                0 => -1,
                limit => limit,
            };
            found.metadata.insert("_nats.ver".into(), "2.15.1".into());
            if wanted.duplicate_window.is_zero() {
                found.duplicate_window = Duration::from_secs(120);
            }
            found.allow_rollup = true;
            assert!(fulfils(&found, &wanted), "{}", wanted.name);

            let changes: [fn(&mut Config); 4] = [
                |config| config.num_replicas = 1,
                |config| config.max_age += DAY,
                |config| config.subjects.push("more".into()),
                |config| config.allow_direct = false,
            ];
            for change in changes {
                let mut changed = found.clone();
                change(&mut changed);
                assert!(!fulfils(&changed, &wanted), "{}", wanted.name);
            }
        }
    }

    #[test]
    fn one_can_work_with_what_is_kept_otherwise_and_not_with_less() {
        for wanted in streams(&settings()) {
            let kept_otherwise: [fn(&mut Config); 4] = [
                |config| config.num_replicas = 1,
                |config| config.max_age += DAY,
                |config| config.duplicate_window += DAY,
                |config| config.subjects.push("more".into()),
            ];
            for change in kept_otherwise {
                let mut found = wanted.clone();
                change(&mut found);
                assert!(serves(&found, &wanted), "{}", wanted.name);
            }
            let less: [fn(&mut Config); 2] = [
                |config| config.subjects.clear(),
                |config| config.allow_direct = false,
            ];
            for change in less {
                let mut found = wanted.clone();
                change(&mut found);
                assert!(!serves(&found, &wanted), "{}", wanted.name);
            }
        }
    }

    #[test]
    fn another_window_or_partition_count_is_a_difference() {
        let [events, _, deliveries, ..] = streams(&settings());
        let other = Settings {
            partitions: NonZeroU16::MAX,
            duplicate_window: Duration::from_secs(61),
            ..settings()
        };
        let [other_events, _, other_deliveries, ..] = streams(&other);
        assert!(!fulfils(&events, &other_events));
        assert!(!fulfils(&deliveries, &other_deliveries));
    }
}
