//! Who a process is at nats-server.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

use super::Error;
use super::setting::Setting;
use super::source::Values;
use super::value::invalid;

/// One way of three to say it.
#[derive(Clone)]
pub(crate) enum NatsLogin {
    /// As `nats_url` says, which may name nobody.
    Url,
    Password {
        user: String,
        password: SecretString,
    },
    /// The text of a credentials file.
    Credentials(SecretString),
}

impl fmt::Debug for NatsLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Url => "Url",
            Self::Password { .. } => "Password",
            Self::Credentials(_) => "Credentials",
        })
    }
}

impl NatsLogin {
    /// Reads it from the three settings.
    ///
    /// # Errors
    ///
    /// When two ways are given, or half of one.
    pub(super) fn parse(values: &Values) -> Result<Self, Error> {
        let text = |setting| values.get(setting).map(|value| value.text.as_str());
        let user = text(Setting::NatsUser);
        let password = text(Setting::NatsPassword);
        match (user, password, text(Setting::NatsCreds)) {
            (None, None, None) => Ok(Self::Url),
            (Some(user), Some(password), None) => Ok(Self::Password {
                user: user.to_owned(),
                password: password.into(),
            }),
            (None, None, Some(text)) => Ok(Self::Credentials(text.into())),
            (Some(_), None, None) => Err(invalid(
                values,
                Setting::NatsUser,
                "nats_password is missing",
            )),
            (None, Some(_), None) => Err(invalid(
                values,
                Setting::NatsPassword,
                "nats_user is missing",
            )),
            _ => Err(invalid(
                values,
                Setting::NatsCreds,
                "nats_user or nats_password is set too: unset one of the two ways",
            )),
        }
    }
}

impl From<NatsLogin> for broker::Login {
    fn from(login: NatsLogin) -> Self {
        match login {
            NatsLogin::Url => Self::Url,
            NatsLogin::Password { user, password } => Self::Password {
                user,
                password: password.expose_secret().to_owned(),
            },
            NatsLogin::Credentials(text) => Self::Credentials(text.expose_secret().to_owned()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Environment, Values};

    fn parse(given: &[(&str, &str)]) -> Result<NatsLogin, Error> {
        let environment: Environment = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        NatsLogin::parse(&Values::merge(&[], &environment, None).unwrap())
    }

    const USER: (&str, &str) = ("POSTRIDER_NATS_USER", "ingest");
    const PASSWORD: (&str, &str) = ("POSTRIDER_NATS_PASSWORD", "hush");
    const CREDS: (&str, &str) = ("POSTRIDER_NATS_CREDS", "-----BEGIN NATS USER JWT-----");

    #[test]
    fn there_is_one_way_at_a_time_and_a_whole_one() {
        assert!(matches!(parse(&[]), Ok(NatsLogin::Url)));
        assert!(matches!(parse(&[CREDS]), Ok(NatsLogin::Credentials(_))));
        let both = parse(&[USER, PASSWORD]);
        assert!(matches!(both, Ok(NatsLogin::Password { user, .. }) if user == "ingest"));
        for (given, missing) in [(USER, "nats_password"), (PASSWORD, "nats_user")] {
            let error = parse(&[given]).unwrap_err().to_string();
            assert!(error.contains(&format!("{missing} is missing")), "{error}");
        }
        let error = parse(&[USER, PASSWORD, CREDS]).unwrap_err().to_string();
        assert!(error.contains("unset one"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}
