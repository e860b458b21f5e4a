//! Where values come from: flags over environment over file over defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Error;
use super::setting::{Kind, Setting, nearest};

/// Who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    /// A file that an environment variable names.
    SecretFile(String),
    Flag(String),
    /// Standalone made it.
    Standalone,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) | Self::SecretFile(variable) => f.write_str(variable),
            Self::Flag(flag) => f.write_str(flag),
            Self::Standalone => f.write_str("standalone"),
        }
    }
}

/// A value as text, and who gave it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

// The text may be a secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// The environment variables of a process.
pub(crate) type Environment = BTreeMap<String, String>;

/// The process's own environment; what is not UTF-8 cannot be a setting.
pub(crate) fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Every setting that has a value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    given: BTreeMap<Setting, Value>,
    /// Where a secret was read from, to be read again.
    files: BTreeMap<Setting, PathBuf>,
}

impl Values {
    /// Merges all sources.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, has an unknown key, or a variable and its
    /// `_FILE` twin are both set.
    pub(crate) fn merge(
        flags: &[(Setting, Option<String>)],
        environment: &Environment,
        file: Option<&Path>,
    ) -> Result<Self, Error> {
        let mut values = Self::default();
        for setting in Setting::ALL.iter().copied() {
            if let Some(text) = setting.default() {
                values.set(setting, text.to_owned(), Origin::Default);
            }
        }
        if let Some(path) = file {
            values.read_file(path)?;
        }
        for setting in Setting::ALL.iter().copied() {
            values.read_environment(setting, environment)?;
        }
        for (setting, text) in flags {
            if let Some(text) = text {
                let flag = format!("--{}", setting.key().replace('_', "-"));
                values.set(*setting, text.clone(), Origin::Flag(flag));
            }
        }
        Ok(values)
    }

    /// The value of `setting`; empty counts as not set.
    pub(crate) fn get(&self, setting: Setting) -> Option<&Value> {
        self.given
            .get(&setting)
            .filter(|value| !value.text.is_empty())
    }

    pub(crate) fn set(&mut self, setting: Setting, text: String, origin: Origin) {
        self.given.insert(setting, Value { text, origin });
    }

    /// The same, read from a file.
    pub(crate) fn set_from_file(
        &mut self,
        setting: Setting,
        text: String,
        origin: Origin,
        path: PathBuf,
    ) {
        self.set(setting, text, origin);
        self.files.insert(setting, path);
    }

    /// The file that the value of `setting` was read from, if it was.
    pub(crate) fn file(&self, setting: Setting) -> Option<&Path> {
        self.files.get(&setting).map(PathBuf::as_path)
    }

    /// Whether a person gave the value, rather than a default or standalone.
    pub(crate) fn is_given(&self, setting: Setting) -> bool {
        let origin = self.get(setting).map(|value| &value.origin);
        !matches!(origin, None | Some(Origin::Default | Origin::Standalone))
    }

    /// Every setting with its value for people: secrets and passwords hidden.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (Setting, String, String)> + '_ {
        Setting::ALL
            .iter()
            .copied()
            .map(|setting| match self.get(setting) {
                Some(value) => (
                    setting,
                    redact(setting, &value.text),
                    value.origin.to_string(),
                ),
                None => (setting, String::new(), "not set".to_owned()),
            })
    }

    fn read_file(&mut self, path: &Path) -> Result<(), Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::FileUnreadable {
            path: path.to_owned(),
            source,
        })?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| Error::FileMalformed {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(&text, span.start)),
            message: error.message().replace('\n', " "),
        })?;
        for (key, value) in table {
            let Some(setting) = Setting::from_key(&key) else {
                return Err(unknown_key(path, key));
            };
            let text = text_of(&value).ok_or_else(|| Error::Invalid {
                setting,
                origin: Origin::File(path.to_owned()),
                message: "a string, a number, true, false or a list of strings is needed".into(),
            })?;
            self.set(setting, text, Origin::File(path.to_owned()));
        }
        Ok(())
    }

    fn read_environment(
        &mut self,
        setting: Setting,
        environment: &Environment,
    ) -> Result<(), Error> {
        let variable = setting.variable();
        let given = environment.get(&variable).filter(|text| !text.is_empty());
        let file_variable = setting.file_variable();
        let path = file_variable
            .as_ref()
            .and_then(|name| environment.get(name))
            .filter(|path| !path.is_empty());
        match (given, file_variable, path) {
            (Some(_), Some(_), Some(_)) => Err(Error::GivenTwice { variable }),
            (None, Some(name), Some(path)) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| Error::SecretUnreadable {
                        variable: name.clone(),
                        path: path.into(),
                        source,
                    })?;
                let text = text.trim_end().to_owned();
                self.set_from_file(setting, text, Origin::SecretFile(name), path.into());
                Ok(())
            }
            (Some(text), ..) => {
                self.set(setting, text.clone(), Origin::Environment(variable));
                Ok(())
            }
            (None, ..) => Ok(()),
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}

fn unknown_key(path: &Path, key: String) -> Error {
    let hint = match nearest(&key, Setting::ALL.iter().map(|setting| setting.key())) {
        Some(name) => format!("did you mean {name}?"),
        None => "`postrider config show` lists all keys".to_owned(),
    };
    Error::UnknownKey {
        path: path.to_owned(),
        key,
        hint,
    }
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(text_of).collect();
            Some(items?.join(","))
        }
        _ => None,
    }
}

/// `text` as it may be shown.
pub(crate) fn redact(setting: Setting, text: &str) -> String {
    match setting.kind() {
        Kind::Plain => text.to_owned(),
        Kind::Secret => "(hidden)".to_owned(),
        Kind::Url => match url::Url::parse(text) {
            Ok(mut url) if url.password().is_some() => {
                // Fails only for URLs that cannot have a password.
                let _ = url.set_password(Some("hidden"));
                url.into()
            }
            Ok(_) => text.to_owned(),
            // What is no URL may be a password that was put into the wrong place.
            Err(_) => "(hidden: not a URL)".to_owned(),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let file =
            file("http_addr = '1.1.1.1:1'\ngrpc_addr = '1.1.1.1:2'\nadmin_addr = '1.1.1.1:3'");
        let environment = environment(&[
            ("POSTRIDER_HTTP_ADDR", "2.2.2.2:1"),
            ("POSTRIDER_GRPC_ADDR", "2.2.2.2:2"),
        ]);
        let flags = [(Setting::HttpAddr, Some("3.3.3.3:1".to_owned()))];
        let values = Values::merge(&flags, &environment, Some(file.path())).unwrap();
        let text = |setting| values.get(setting).unwrap().text.as_str();
        assert_eq!(text(Setting::HttpAddr), "3.3.3.3:1");
        assert_eq!(text(Setting::GrpcAddr), "2.2.2.2:2");
        assert_eq!(text(Setting::AdminAddr), "1.1.1.1:3");
        assert_eq!(text(Setting::DeliveryTimeout), "10s");
        assert_eq!(
            values.get(Setting::HttpAddr).unwrap().origin.to_string(),
            "--http-addr"
        );
        assert!(!values.is_given(Setting::DeliveryTimeout));
    }

    #[test]
    fn refuses_an_unknown_key_with_a_hint() {
        let file = file("partition = 4");
        let error = Values::merge(&[], &Environment::new(), Some(file.path())).unwrap_err();
        assert!(
            error.to_string().contains("did you mean partitions?"),
            "{error}"
        );
    }

    #[test]
    fn reads_a_secret_from_a_file_and_never_shows_it() {
        let secret = file("hush-hush\n");
        let path = secret.path().to_str().unwrap();
        let given = environment(&[
            ("POSTRIDER_ADMIN_KEY_FILE", path),
            ("POSTRIDER_DATABASE_URL", "postgres://app:pass@db/postrider"),
        ]);
        let values = Values::merge(&[], &given, None).unwrap();
        assert_eq!(values.get(Setting::AdminKey).unwrap().text, "hush-hush");
        let shown: Vec<String> = values.shown().map(|(_, text, _)| text).collect();
        assert!(
            !shown
                .iter()
                .any(|text| text.contains("hush") || text.contains("pass@"))
        );

        let twice = environment(&[
            ("POSTRIDER_ADMIN_KEY_FILE", path),
            ("POSTRIDER_ADMIN_KEY", "another"),
        ]);
        let error = Values::merge(&[], &twice, None).unwrap_err();
        assert!(matches!(error, Error::GivenTwice { .. }));
    }

    #[test]
    fn a_list_and_a_number_are_values_too() {
        let file = file("retry_schedule = ['1s', '2s']\npartitions = 4\ndev = true");
        let values = Values::merge(&[], &Environment::new(), Some(file.path())).unwrap();
        assert_eq!(values.get(Setting::RetrySchedule).unwrap().text, "1s,2s");
        assert_eq!(values.get(Setting::Partitions).unwrap().text, "4");
        assert_eq!(values.get(Setting::Dev).unwrap().text, "true");
    }
}
