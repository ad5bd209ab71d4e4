//! Why a command failed: what was expected, what came, what to do.

use std::io;

use serde_json::{Value, json};
use thiserror::Error;

/// A failure of a command.
#[derive(Debug, Error)]
pub enum CliError {
    /// The command line contradicts itself.
    #[error("{0}")]
    Usage(String),
    /// It did not work.
    #[error("{message}")]
    Failed {
        /// A word that programs can match, such as `unknown-topic`.
        code: String,
        /// What was expected and what came.
        message: String,
        /// What to do.
        advice: Option<String>,
    },
    /// Nothing can be said: what was to be looked at is out of reach.
    #[error("{message}")]
    Cannot {
        /// A word that programs can match.
        code: String,
        /// What was expected, what came, and what to do.
        message: String,
    },
    /// Whoever read our output has gone; that is no failure.
    #[error("the output was closed")]
    Closed,
}

impl CliError {
    /// A wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A failure without advice: the message says what to do.
    pub fn failed(code: impl Into<String>, message: impl ToString) -> Self {
        Self::Failed { code: code.into(), message: message.to_string(), advice: None }
    }

    /// Nothing can be said; exit code 2.
    pub fn cannot(code: impl Into<String>, message: impl ToString) -> Self {
        Self::Cannot { code: code.into(), message: message.to_string() }
    }

    /// The same failure with what to do.
    #[must_use]
    pub fn advise(self, text: impl Into<String>) -> Self {
        match self {
            Self::Failed { code, message, .. } => {
                Self::Failed { code, message, advice: Some(text.into()) }
            }
            other => other,
        }
    }

    /// What writing to stdout said.
    pub fn from_stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::failed("output", format!("cannot write the output: {error}")),
        }
    }

    /// What a script gets.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Failed { .. } => 1,
            Self::Usage(_) | Self::Cannot { .. } => 2,
        }
    }

    /// The word that programs can match.
    pub fn code(&self) -> &str {
        match self {
            Self::Usage(_) => "usage",
            Self::Failed { code, .. } | Self::Cannot { code, .. } => code,
            Self::Closed => "closed",
        }
    }

    /// What to do, where the message does not say it.
    pub fn advice(&self) -> Option<&str> {
        match self {
            Self::Failed { advice, .. } => advice.as_deref(),
            _ => None,
        }
    }

    /// The error for programs.
    pub fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code(), "message": self.to_string() });
        if let Some(advice) = self.advice() {
            error["advice"] = advice.into();
        }
        json!({ "error": error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_success_and_other_errors_are_not() {
        let closed = CliError::from_stdout(&io::ErrorKind::BrokenPipe.into());
        assert_eq!(closed.exit_code(), 0);
        assert_eq!(CliError::from_stdout(&io::ErrorKind::StorageFull.into()).exit_code(), 1);
        assert_eq!(CliError::usage("x").exit_code(), 2);
    }

    #[test]
    fn errors_for_programs_carry_code_message_and_advice() {
        let error = CliError::failed("unknown-topic", "no topic x").advise("create it");
        let expected =
            r#"{"error":{"code":"unknown-topic","message":"no topic x","advice":"create it"}}"#;
        assert_eq!(error.to_json().to_string(), expected);
    }
}
