//! `factum user`: list, add, password, delete.

use std::fmt::Display;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use factum_event::access::{Permission, Principal, UserName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::acl::{What, said};
use super::client::{Client, segment};
use super::terminal::{BOLD, GOOD};
use super::topic::{confirm, read_answer};
use super::{CliError, Table, Terminal};

/// Random bytes of a password that is made here.
const PASSWORD_BYTES: usize = 18;

/// The largest file that is taken for a password.
const MAX_PASSWORD_BYTES: u64 = crate::password::MAX_BYTES as u64;

/// Give users passwords, and say what they may do
#[derive(Debug, Args)]
#[command(
    long_about = "Give users passwords, and say what they may do.\n\n\
        Users log in to the Kafka door with SASL (SCRAM-SHA-256, SCRAM-SHA-512, or PLAIN over \
        TLS), and to HTTP with basic authentication. What they may do is said by rules: see \
        `factum acl`. Without --password-file a password is made and shown, once.",
    after_help = "Examples:\n  factum user add alice --produce orders\n  factum user list\n  factum user delete alice",
    arg_required_else_help = true
)]
pub struct UserArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all users
    #[command(after_help = "Examples:\n  factum user list")]
    List,
    /// Add a user, with what it may do
    #[command(after_help = "Examples:\n  \
        factum user add alice\n  \
        factum user add billing --consume orders --group billing\n  \
        factum user add shop --produce orders --password-file shop.password")]
    Add {
        /// The user
        name: UserName,
        /// A file with the password; - is stdin [default: one is made and shown]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        what: What,
    },
    /// Give a user another password
    #[command(after_help = "Examples:\n  \
        factum user password alice\n  \
        factum user password alice --password-file new.password")]
    Password {
        /// The user
        name: UserName,
        /// A file with the password; - is stdin [default: one is made and shown]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Delete a user with the rules about it
    #[command(after_help = "Examples:\n  \
        factum user delete alice\n  \
        factum user delete alice --yes")]
    Delete {
        /// The user
        name: UserName,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Deserialize)]
struct Users {
    users: Vec<User>,
}

#[derive(Deserialize)]
struct User {
    name: UserName,
    mechanisms: Vec<String>,
}

/// Runs `factum user`.
pub fn run(args: UserArgs, client: &Client, terminal: &Terminal) -> Result<(), CliError> {
    match args.verb {
        Verb::List => list(terminal, client.get("/users")?),
        Verb::Add { name, password_file, what } => {
            expect(client, &name, false)?;
            let acls = what.acls(&Principal::user(name.as_str()), Permission::Allow)?;
            let password = Password::choose(password_file.as_deref())?;
            client.put(&path(&name), &json!({ "password": password.text }))?;
            if !acls.is_empty() {
                client.post("/acls", &json!({ "acls": acls }))?;
            }
            if terminal.json() {
                let made = password.made.then_some(&password.text);
                return terminal.say_json(&json!({ "name": name, "password": made, "acls": acls }));
            }
            password.say(terminal, &name)?;
            said(terminal, &acls)
        }
        Verb::Password { name, password_file } => {
            expect(client, &name, true)?;
            let password = Password::choose(password_file.as_deref())?;
            client.put(&path(&name), &json!({ "password": password.text }))?;
            if terminal.json() {
                let made = password.made.then_some(&password.text);
                return terminal.say_json(&json!({ "name": name, "password": made }));
            }
            password.say(terminal, &name)
        }
        Verb::Delete { name, yes } => {
            if !yes {
                confirm(terminal, &format!("Delete user {name} with the rules about it?"))?;
            }
            client.delete(&path(&name))?;
            let principal = segment(Principal::user(name.as_str()).as_str());
            client.delete_for(&format!("/acls?principal={principal}"))?;
            if terminal.json() {
                return terminal.say_json(&json!({ "deleted": name }));
            }
            terminal.say(format!("{} user {name}", terminal.colors.paint(GOOD, "✓ deleted")))
        }
    }
}

fn path(name: &UserName) -> String {
    format!("/users/{}", segment(name.as_str()))
}

/// Fails unless the user is there, or is not.
fn expect(client: &Client, name: &UserName, there: bool) -> Result<(), CliError> {
    let Users { users } = read_answer(client.get("/users")?)?;
    match (there, users.iter().any(|user| user.name == *name)) {
        (true, false) => Err(CliError::failed("unknown-user", format!("there is no user {name}"))
            .advise(format!("add it with `factum user add {name}`"))),
        (false, true) => {
            Err(CliError::failed("user-exists", format!("user {name} exists already"))
                .advise(format!("give it another password with `factum user password {name}`")))
        }
        _ => Ok(()),
    }
}

fn list(terminal: &Terminal, answer: Value) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(&answer);
    }
    let Users { users } = read_answer(answer)?;
    if users.is_empty() {
        return terminal.say("There is no user; add one with `factum user add`");
    }
    let mut table = Table::new(terminal.colors, &["user", "logs in with"]);
    for user in &users {
        table.row([&user.name as &dyn Display, &user.mechanisms.join(", ")]);
    }
    terminal.say(table)
}

/// A password, and whether it was made here.
struct Password {
    text: String,
    made: bool,
}

impl Password {
    fn choose(file: Option<&Path>) -> Result<Self, CliError> {
        let Some(file) = file else { return Self::make() };
        let failed = |error: io::Error| {
            CliError::failed("input", format!("cannot read {}: {error}", file.display()))
        };
        let mut bytes = Vec::new();
        let read = if file == Path::new("-") {
            io::stdin().lock().take(MAX_PASSWORD_BYTES + 1).read_to_end(&mut bytes)
        } else {
            let open = std::fs::File::open(file);
            open.and_then(|open| open.take(MAX_PASSWORD_BYTES + 1).read_to_end(&mut bytes))
        };
        read.map_err(failed)?;
        if bytes.len() as u64 > MAX_PASSWORD_BYTES {
            let message = format!("{} has more than {MAX_PASSWORD_BYTES} bytes", file.display());
            return Err(CliError::failed("input", message));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| CliError::failed("input", "the password is not UTF-8"))?;
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        if text.is_empty() {
            return Err(CliError::failed("input", "the password is empty"));
        }
        Ok(Self { text, made: false })
    }

    fn make() -> Result<Self, CliError> {
        let mut bytes = [0; PASSWORD_BYTES];
        aws_lc_rs::rand::fill(&mut bytes)
            .map_err(|_| CliError::failed("input", "the system has no random bytes"))?;
        Ok(Self { text: URL_SAFE_NO_PAD.encode(bytes), made: true })
    }

    fn say(&self, terminal: &Terminal, name: &UserName) -> Result<(), CliError> {
        let colors = terminal.colors;
        terminal.say(format!("{} user {name} has its password", colors.paint(GOOD, "✓")))?;
        if self.made {
            terminal.say(format!("  {}   (shown this once)", colors.paint(BOLD, &self.text)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_comes_from_a_file_without_its_line_end_or_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "se cret\r\n").unwrap();
        assert_eq!(Password::choose(Some(&file)).unwrap().text, "se cret");
        for wrong in [b"\n".to_vec(), vec![0xff], vec![b'a'; 1025]] {
            std::fs::write(&file, wrong).unwrap();
            assert!(Password::choose(Some(&file)).is_err());
        }
        let (one, two) = (Password::make().unwrap(), Password::make().unwrap());
        assert!(one.made && one.text.len() >= 24 && one.text != two.text);
    }
}
