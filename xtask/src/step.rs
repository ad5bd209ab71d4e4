//! Runs other programs in the repository's root, says what runs and how long it took.

use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use thiserror::Error;

use crate::tree;

/// Why a command of `cargo xtask` failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// A program ran and said no.
    #[error("{name} failed ({status}); the command was: {command}")]
    Ended {
        /// The step.
        name: String,
        /// How the program ended.
        status: ExitStatus,
        /// What was run.
        command: String,
    },
    /// A program did not start.
    #[error("cannot run {program} ({source}); is it installed?")]
    Start {
        /// The program.
        program: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file could not be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// A check found something, or a program's output is not what was expected.
    #[error("{0}")]
    Found(String),
}

/// A program that runs in the repository's root.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.current_dir(tree::root());
    command
}

/// Cargo, the one that runs this.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let name = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = program(&name);
    command.args(arguments);
    command
}

/// Runs a program in sight of the person, and says how long it took.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<(), Failure> {
    eprintln!("== {name}");
    let begin = Instant::now();
    let status = command.status().map_err(|source| not_started(command, source))?;
    eprintln!("== {name}: {:.1} s", begin.elapsed().as_secs_f64());
    if status.success() { Ok(()) } else { Err(ended(name, status, command)) }
}

/// What a program prints to its standard output; its errors stay in sight.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let done = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| not_started(command, source))?;
    let name = command.get_program().to_string_lossy().into_owned();
    if !done.status.success() {
        return Err(ended(&name, done.status, command));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Whether a program is there and content.
pub(crate) fn answers(mut command: Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn not_started(command: &Command, source: io::Error) -> Failure {
    Failure::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}

fn ended(name: &str, status: ExitStatus, command: &Command) -> Failure {
    Failure::Ended { name: name.to_owned(), status, command: shown(command) }
}

/// A command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
