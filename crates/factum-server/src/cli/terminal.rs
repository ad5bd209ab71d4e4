//! Where output goes and what it may look like there.

use std::env;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::CliError;

/// What `--output` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputChoice {
    /// Text on a terminal, JSON in a pipe
    Auto,
    /// For people
    Text,
    /// For programs: JSON, one object a line where there are many
    Json,
}

/// What `--color` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Where output goes, decided once.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    json: bool,
    /// Colours of stdout.
    pub colors: Colors,
    error_colors: Colors,
    /// Whether a person sees stderr, and gets a progress bar there.
    person: bool,
    stdin_is_terminal: bool,
}

impl Terminal {
    /// Looks at stdin, stdout, stderr and the environment.
    pub fn detect(output: OutputChoice, color: ColorChoice) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colors = |terminal: bool| Colors {
            on: match color {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => terminal && !no_color && !dumb,
            },
        };
        Self {
            json: match output {
                OutputChoice::Auto => !out,
                OutputChoice::Text => false,
                OutputChoice::Json => true,
            },
            colors: colors(out),
            error_colors: colors(err),
            person: err,
            stdin_is_terminal: io::stdin().is_terminal(),
        }
    }

    /// Whether results are for programs.
    pub const fn json(&self) -> bool {
        self.json
    }

    /// Whether stderr takes colours.
    pub const fn error_colors_on(&self) -> bool {
        self.error_colors.on
    }

    /// Whether somebody could type an answer.
    pub const fn can_ask(&self) -> bool {
        self.stdin_is_terminal && self.person
    }

    /// Whether stdin is a keyboard rather than a pipe or a file.
    pub const fn stdin_is_terminal(&self) -> bool {
        self.stdin_is_terminal
    }

    /// Buffered stdout for output of many lines; flush it.
    pub fn stdout(&self) -> BufWriter<StdoutLock<'static>> {
        BufWriter::with_capacity(64 * 1024, io::stdout().lock())
    }

    /// Prints text for people and a newline.
    pub fn say(&self, text: impl Display) -> Result<(), CliError> {
        let mut out = self.stdout();
        writeln!(out, "{text}")
            .and_then(|()| out.flush())
            .map_err(|error| CliError::from_stdout(&error))
    }

    /// Prints one line of JSON.
    pub fn say_json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value)
            .map_err(|error| CliError::failed("output", format!("cannot write JSON: {error}")))?;
        self.say(text)
    }

    /// A remark on stderr that is neither a result nor an error.
    #[expect(clippy::print_stderr, reason = "this is the command line")]
    pub fn note(&self, text: impl Display) {
        if self.json {
            eprintln!("{}", serde_json::json!({ "note": text.to_string() }));
        } else {
            eprintln!("{}", self.error_colors.paint(DIM, text));
        }
    }

    /// How far something is, on stderr: a word and values for programs, text for people.
    #[expect(clippy::print_stderr, reason = "this is the command line")]
    pub fn status(&self, word: &str, values: &impl Serialize, text: impl Display) {
        if self.json {
            eprintln!("{}", serde_json::json!({ word: values }));
        } else {
            eprintln!("{text}");
        }
    }

    /// Prints an error to stderr.
    #[expect(clippy::print_stderr, reason = "this is the command line")]
    pub fn report(&self, error: &CliError) {
        if self.json {
            return Self::report_json(error);
        }
        let colors = self.error_colors;
        eprintln!("{} {error}", colors.paint(ERROR, "error:"));
        if let Some(advice) = error.advice() {
            eprintln!("{} {advice}", colors.paint(HINT, " hint:"));
        }
    }

    /// Prints an error to stderr as JSON.
    #[expect(clippy::print_stderr, reason = "this is the command line")]
    pub fn report_json(error: &CliError) {
        eprintln!("{}", error.to_json());
    }

    /// A progress bar on stderr, hidden unless a person looks; a total of none is a spinner.
    pub fn progress(&self, total: Option<u64>, template: &str) -> ProgressBar {
        let target = if self.person && !self.json {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(total, target);
        let style = ProgressStyle::with_template(template).expect("templates are constants");
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

/// Attributes that recede: ids, positions.
pub const DIM: Style = Style::new().dimmed();
/// Headings and names.
pub const BOLD: Style = Style::new().bold();
/// An error's first word.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Advice.
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// Something good.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// An event's type.
pub const TYPE: Style = AnsiColor::Cyan.on_default().bold();
/// Keys of JSON.
pub const KEY: Style = AnsiColor::Blue.on_default();
/// Strings of JSON.
pub const STRING: Style = AnsiColor::Green.on_default();
/// Numbers and words of JSON.
pub const NUMBER: Style = AnsiColor::Yellow.on_default();

/// Whether and how to colour.
#[derive(Debug, Clone, Copy)]
pub struct Colors {
    /// Whether escape sequences are written.
    pub on: bool,
}

impl Colors {
    /// No colours.
    #[cfg(test)]
    pub const OFF: Self = Self { on: false };

    /// The text in this style.
    pub fn paint(self, style: Style, text: impl Display) -> String {
        if self.on { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_escape_sequences_only_where_they_are_on() {
        assert_eq!(Colors::OFF.paint(ERROR, "x"), "x");
        assert_eq!(Colors { on: true }.paint(BOLD, "x"), "\u{1b}[1mx\u{1b}[0m");
    }
}
