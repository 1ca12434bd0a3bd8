//! One error type: what happened, why, and what to do next. It never holds a secret.

use std::{fmt, time::Duration};

/// `Result` with our [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is: decides the exit code and how the lifecycle retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The command line is wrong. Exit 64.
    Usage,
    /// A service did not answer, or answered with a fault of its own. Worth a retry. Exit 69.
    Unavailable,
    /// A fault of ours or of this machine. Exit 70.
    Internal,
    /// It will work later: a conflict, throttling, another agent running. Worth a retry. Exit 75.
    TryAgain,
    /// What was issued has become void: asking on will not help, a new one will. Exit 75.
    Void,
    /// Refused by policy: federation, RBAC, consent. A retry helps only after somebody changed something. Exit 77.
    Denied,
    /// The configuration, or what it points at, is wrong. Exit 78.
    Config,
}

/// A failure, told so that a person can act on it.
#[derive(Clone, Debug)]
pub struct Error {
    /// Decides exit code and retry.
    pub class: Class,
    /// What happened, in one line.
    pub what: String,
    /// Why, as far as known: the service's code and words.
    pub why: Option<String>,
    /// What to do next.
    pub fix: Option<String>,
    /// The wait that the service asked for.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// A failure of `class`; `what` is one line without a full stop.
    pub fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), why: None, fix: None, retry_after: None }
    }

    /// Adds why it happened.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Adds the wait that the service asked for.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Whether trying again without anybody changing anything can help.
    pub fn is_transient(&self) -> bool {
        matches!(self.class, Class::Unavailable | Class::TryAgain | Class::Void)
    }

    /// The process exit code, after sysexits.
    pub fn exit_code(&self) -> u8 {
        match self.class {
            Class::Usage => 64,
            Class::Unavailable => 69,
            Class::Internal => 70,
            Class::TryAgain | Class::Void => 75,
            Class::Denied => 77,
            Class::Config => 78,
        }
    }
}

/// One line: `what: why (fix)`. The command line prints the three parts on lines of their own.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        if let Some(fix) = &self.fix {
            write!(f, " ({fix})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
