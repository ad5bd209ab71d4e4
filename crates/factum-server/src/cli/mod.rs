//! The command line: what can be typed, and who answers it.
//!
//! Every command is a module with its arguments (what was typed), and a function that runs them
//! against the server's HTTP door. Nothing here keeps state; a pipe that is closed is success.

mod acl;
mod client;
mod error;
mod group;
mod publish;
mod quota;
mod read;
mod serve;
mod server_tls;
pub(crate) mod table;
pub(crate) mod terminal;
mod topic;
mod user;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

pub use error::CliError;
pub use table::{Table, grouped};
pub use terminal::{Colors, OutputChoice, Terminal};

use client::Client;
use server_tls::ServerTls;
use terminal::ColorChoice;

/// Exit code of a wrong command line.
const USAGE: u8 = 2;

#[derive(Debug, Parser)]
#[command(
    name = "factum",
    version,
    about = "A durable event log that Kafka clients, HTTP and Rust programs share",
    long_about = "A durable event log that Kafka clients, HTTP and Rust programs share.\n\n\
        One binary: `factum serve` is the server, every other command talks to one. Results go \
        to stdout (a table for a person, JSON for a pipe), everything else to stderr.\n\n\
        Exit codes: 0 success (also when the reader of a pipe has gone), 1 failure, 2 wrong usage.",
    after_help = EXAMPLES,
    subcommand_required = true,
    arg_required_else_help = true,
    propagate_version = true,
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  factum serve                                       a server in ./data, on this machine only
  factum topic create orders --partitions 4
  factum publish orders --type order.placed --source /shop --data '{\"total\": 12}'
  factum read orders --follow                        watch events as they arrive
  factum read orders --limit 10 | jq .data           events as JSON lines
  factum group describe billing                      who reads what, and how far behind
  factum user add shop --produce orders              a user that may write to a topic
  factum verify ./data                               find damage, and a rewritten past
  factum mirror --from kafka://broker:9092           copy a Kafka cluster, and keep up
  factum bench produce --records 1000000             measure any Kafka broker";

#[derive(Debug, Args)]
struct Global {
    /// What results look like: text or JSON; auto is text on a terminal, JSON in a pipe
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "FORMAT",
        env = "FACTUM_OUTPUT",
        help_heading = "Global options"
    )]
    output: OutputChoice,

    /// When to colour; auto is on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    color: ColorChoice,

    /// The server that commands talk to
    #[arg(
        long,
        global = true,
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        env = "FACTUM_SERVER",
        help_heading = "Global options"
    )]
    server: String,

    /// The user to log in as; FACTUM_PASSWORD has the password. Without a user, the token in
    /// FACTUM_TOKEN is shown, if there is one
    #[arg(
        long = "as",
        global = true,
        value_name = "USER",
        env = "FACTUM_USER",
        help_heading = "Global options"
    )]
    user: Option<String>,

    #[command(flatten)]
    tls: ServerTls,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Topic(topic::TopicArgs),
    Publish(Box<publish::PublishArgs>),
    Read(read::ReadArgs),
    Group(group::GroupArgs),
    User(user::UserArgs),
    Acl(acl::AclArgs),
    Quota(quota::QuotaArgs),
    Verify(verify::VerifyArgs),
    Bench(crate::bench::BenchArgs),
    Mirror(Box<crate::mirror::MirrorArgs>),
}

/// Runs the command line and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, asks_for_json(&arguments)),
    };
    let terminal = Terminal::detect(cli.global.output, cli.global.color);
    match run(cli.command, &cli.global, &terminal) {
        Ok(()) | Err(CliError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: Command, global: &Global, terminal: &Terminal) -> Result<(), CliError> {
    let client = || Client::new(&global.server, &global.tls, global.user.as_deref());
    match command {
        Command::Serve(args) => serve::run(*args, terminal),
        Command::Topic(args) => topic::run(args, &client()?, terminal),
        Command::Publish(args) => publish::run(*args, &client()?, terminal),
        Command::Read(args) => read::run(&args, &client()?, terminal),
        Command::Group(args) => group::run(args, &client()?, terminal),
        Command::User(args) => user::run(args, &client()?, terminal),
        Command::Acl(args) => acl::run(args, &client()?, terminal),
        Command::Quota(args) => quota::run(args, &client()?, terminal),
        Command::Verify(args) => verify::run(args, terminal),
        Command::Bench(args) => crate::bench::run(args, terminal),
        Command::Mirror(args) => crate::mirror::run(*args, terminal),
    }
}

/// Help and version are answers; everything else that clap says is a wrong usage.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    let answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if json && !answer {
        let message = error.render().to_string();
        let message = message.trim_start_matches("error: ").trim_end();
        Terminal::report_json(&CliError::usage(message));
    } else if let Err(failed) = error.print()
        && failed.kind() != std::io::ErrorKind::BrokenPipe
    {
        return ExitCode::FAILURE;
    }
    if answer { ExitCode::SUCCESS } else { ExitCode::from(USAGE) }
}

/// Whether errors are to be JSON, where the arguments as a whole could not be read.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let pair = |pair: &[OsString]| pair[0] == "--output" && pair[1] == "json";
    arguments.windows(2).any(pair) || arguments.iter().any(|one| one == "--output=json")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_long_help_with_examples() {
        fn visit(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no description");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
            }
            let examples =
                command.get_after_help().or(command.get_after_long_help()).map(ToString::to_string);
            let examples = examples.unwrap_or_default();
            assert!(examples.contains("Examples:"), "{path} has no examples");
            assert!(examples.contains(path.trim()), "the examples of {path} do not show it");
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                visit(below, &path);
            }
        }
        visit(&Cli::command(), "");
    }

    #[test]
    fn examples_are_command_lines_that_parse() {
        fn visit(command: &clap::Command, lines: &mut Vec<String>) {
            let help = command.get_after_help().or(command.get_after_long_help());
            let help = help.map(ToString::to_string).unwrap_or_default();
            lines.extend(
                help.lines().map(str::trim).filter(|l| l.starts_with("factum ")).map(String::from),
            );
            command.get_subcommands().for_each(|below| visit(below, lines));
        }
        let mut lines = Vec::new();
        visit(&Cli::command(), &mut lines);
        assert!(lines.len() > 20, "only {} examples", lines.len());
        for line in lines {
            let words = shell_words(&line);
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{line}\n{words:?}\n{error}");
            }
        }
    }

    /// The words of an example up to a pipe, a redirection or the remark after two spaces.
    fn shell_words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted, mut spaces) = (Vec::new(), String::new(), None, 0);
        for c in line.chars() {
            spaces = if c == ' ' && quoted.is_none() { spaces + 1 } else { 0 };
            match (quoted, c) {
                (None, '|' | '<' | '>' | '&') => break,
                (None, ' ') if spaces > 1 => break,
                (None, ' ') => words.push(std::mem::take(&mut word)),
                (None, '\'' | '"') => quoted = Some(c),
                (Some(open), _) if open == c => quoted = None,
                _ => word.push(c),
            }
        }
        words.push(word);
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn json_errors_are_found_without_a_parse() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(asks_for_json(&words("factum --output json topic")));
        assert!(asks_for_json(&words("factum topic --output=json")));
        assert!(!asks_for_json(&words("factum topic --output text")));
    }
}
