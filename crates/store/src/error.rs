use sqlx::error::ErrorKind;

/// Why the database did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, no answer in time, or a lost race: repeat later.
    #[error("the database cannot take it now: {0}")]
    Unavailable(String),
    /// The address cannot be used at all.
    #[error("cannot use the database address: {0}")]
    Configuration(String),
    /// There is one already.
    #[error("it exists already")]
    Exists,
    /// The tables of its day are not there yet; [`crate::History::make_days`]
    /// makes them.
    #[error("the tables of this day are not there")]
    DayMissing,
    /// The database refused it for good.
    #[error("the database refused it: {0}")]
    Refused(String),
}

impl Error {
    /// Whether a repeat may succeed without anybody changing anything.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Classes of SQLSTATE that pass by themselves: connections, transactions that
/// lost a race, resources, operator intervention, system errors.
const PASSING_CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];

/// SQLite's primary codes that pass: busy, locked, out of memory or disk, I/O.
const PASSING_SQLITE: [i32; 6] = [5, 6, 7, 10, 13, 14];

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        match &error {
            sqlx::Error::Database(inner) => {
                let code = inner.code().unwrap_or_default();
                let passing = PASSING_CLASSES.iter().any(|class| {
                    // SQLSTATE has five characters, SQLite's codes fewer.
                    code.len() == 5 && code.starts_with(class)
                }) || code.parse::<i32>().is_ok_and(|number| {
                    code.len() < 5 && PASSING_SQLITE.contains(&(number & 0xff))
                });
                match inner.kind() {
                    // PostgreSQL has no code of its own for it.
                    ErrorKind::CheckViolation if text.contains("no partition of relation") => {
                        Self::DayMissing
                    }
                    ErrorKind::UniqueViolation => Self::Exists,
                    _ if passing => Self::Unavailable(text),
                    _ => Self::Refused(text),
                }
            }
            sqlx::Error::Configuration(_) => Self::Configuration(text),
            sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. } => Self::Refused(text),
            _ => Self::Unavailable(text),
        }
    }
}
