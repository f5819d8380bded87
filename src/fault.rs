//! What can go wrong, sorted by who has to act.
//!
//! A fault names the object it is about, the cause and the next step; the error that caused it is
//! kept as its source. The kind alone decides what the daemon does: retry, stop, or refuse to start.

use std::error::Error;
use std::fmt;

/// Shorthand for everything that can end in a [`Fault`].
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// Who has to act on a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The settings are wrong. The daemon does not start; systemd does not restart it.
    Settings,
    /// Time may heal it (a server restarting, a full disk). Retried with backoff.
    Transient,
    /// An operator has to decide. The daemon stops.
    Permanent,
    /// Another instance has taken over this log: its epoch is newer than ours.
    Fenced,
}

/// An error with the object it is about, its cause, and what to do next.
#[derive(Debug)]
pub struct Fault {
    kind: Kind,
    what: String,
    next_step: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of the settings: exit code 78.
    pub fn settings(what: impl Into<String>) -> Self {
        Self::new(Kind::Settings, what)
    }

    /// A fault that is retried.
    pub fn transient(what: impl Into<String>) -> Self {
        Self::new(Kind::Transient, what)
    }

    /// A fault that needs an operator: exit code 70.
    pub fn permanent(what: impl Into<String>) -> Self {
        Self::new(Kind::Permanent, what)
    }

    /// Another writer holds the log.
    pub fn fenced(what: impl Into<String>) -> Self {
        Self::new(Kind::Fenced, what)
    }

    fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            next_step: None,
            source: None,
        }
    }

    /// Adds what the operator should run or change.
    #[must_use]
    pub fn next_step(mut self, step: impl Into<String>) -> Self {
        self.next_step = Some(step.into());
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Who has to act.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether waiting may heal it.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == Kind::Transient
    }

    /// The process exit code: 78 and 70 and 75 are `EX_CONFIG`, `EX_SOFTWARE` and `EX_TEMPFAIL` of
    /// `sysexits.h`.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Settings => 78,
            Kind::Permanent => 70,
            Kind::Transient | Kind::Fenced => 75,
        }
    }

    /// What went wrong and every cause beneath it, in one line and without the next step.
    #[must_use]
    pub fn cause(&self) -> String {
        let mut line = self.what.clone();
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            let text = error.to_string();
            // tokio-postgres and reqwest repeat their cause in their own text.
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        line
    }

    /// What to do next, if there is something to do.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.next_step.as_deref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())?;
        if let Some(step) = &self.next_step {
            write!(f, "\n  next step: {step}")?;
        }
        Ok(())
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_tells_the_whole_chain_and_the_next_step() {
        let io = std::io::Error::other("disk full");
        let fault = Fault::transient("appending to the log")
            .because(io)
            .next_step("free some disk");
        assert_eq!(
            fault.to_string(),
            "appending to the log: disk full\n  next step: free some disk"
        );
        assert_eq!(fault.exit_code(), 75);
    }
}
