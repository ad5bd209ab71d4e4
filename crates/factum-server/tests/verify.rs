//! `factum verify` as people and scripts use it: exit codes, names, attestations.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints its seed"
)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::server::{Home, Server};
use serde_json::Value;

fn factum(arguments: &[&OsStr]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factum"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FACTUM_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

/// Exit code, and what was printed as JSON.
fn verify(directory: &Path, flags: &[&OsStr]) -> (i32, Value) {
    let mut arguments = vec![OsStr::new("verify"), directory.as_os_str()];
    arguments.extend([OsStr::new("--output"), OsStr::new("json")]);
    arguments.extend(flags);
    let output = factum(&arguments);
    let printed = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    (output.status.code().unwrap(), serde_json::from_slice(printed).unwrap())
}

fn flag(name: &str) -> &OsStr {
    OsStr::new(name)
}

fn publish(server: &Server, subject: &str) {
    let url = format!("http://{}", server.http);
    let words = ["publish", "orders", "--type", "t", "--source", "/s", "--subject", subject];
    let mut arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    arguments.extend(["--data", "{\"a\": 1}", "--server", &url].map(OsStr::new));
    let output = factum(&arguments);
    assert!(output.status.success(), "{output:?}");
}

/// A data directory with a topic `orders` and three events in it, one flush each.
fn log(home: &Home) -> PathBuf {
    let server = home.serve();
    let url = format!("http://{}", server.http);
    let words = ["topic", "create", "orders", "--partitions", "1", "--server", &url];
    let output = factum(&words.map(OsStr::new));
    assert!(output.status.success(), "{output:?}");
    ["first", "second", "third"].iter().for_each(|subject| publish(&server, subject));
    let (code, error) = verify(&home.data(), &[]);
    assert_eq!(code, 2, "a server has it: {error}");
    assert!(error["error"]["message"].as_str().unwrap().contains("in use"), "{error}");
    server.stop();
    home.data()
}

/// Flips a bit where a text stands in the first journal.
fn damage(directory: &Path, text: &str) {
    let path = directory.join("journal/00000000000000000001.journal");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_sound_log_is_attested_and_holds_against_it_when_it_has_grown() {
    let home = Home::new();
    let data = log(&home);
    let file = data.join("attested.json");
    let (code, report) = verify(&data, &[flag("--deep"), flag("--attest"), file.as_os_str()]);
    assert_eq!((code, &report["sound"]), (0, &Value::Bool(true)), "{report}");
    assert!(report["records"].as_u64().unwrap() > 3, "{report}");
    let attested: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(attested["root"], report["root"]);
    let lines = attested["partitions"].as_array().unwrap();
    let orders = lines.iter().find(|line| line["topic"] == "orders").unwrap();
    assert_eq!(orders["offset"], 3);
    let (code, error) = verify(&data, &[flag("--attest"), file.as_os_str()]);
    assert_eq!(code, 1, "an attestation is never written over: {error}");

    let server = home.serve();
    publish(&server, "fourth");
    server.stop();
    let (code, report) = verify(&data, &[flag("--against"), file.as_os_str()]);
    assert_eq!(code, 0, "{report}");
    // Somebody claims another past.
    let mut claimed = attested;
    claimed["root"] = Value::String("0".repeat(64));
    fs::write(&file, claimed.to_string()).unwrap();
    let (code, error) = verify(&data, &[flag("--against"), file.as_os_str()]);
    assert_eq!(code, 2, "{error}");
}

#[test]
fn damage_is_named_with_topic_and_offset_and_is_not_attested() {
    let home = Home::new();
    let data = log(&home);
    let attested = data.join("attested.json");
    damage(&data, "second");
    let (code, report) = verify(&data, &[flag("--attest"), attested.as_os_str()]);
    assert_eq!(code, 1, "{report}");
    let [finding] = report["findings"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!(finding["fault"], "batch");
    assert_eq!((&finding["topic"], &finding["first_offset"]), (&"orders".into(), &1.into()));
    assert_eq!(finding["file"], "journal/00000000000000000001.journal");
    assert!(!attested.exists(), "a damaged log is not attested");
}

#[test]
fn what_is_no_data_directory_cannot_be_checked() {
    let home = Home::new();
    let nowhere = home.data().with_file_name("nowhere");
    assert_eq!(verify(&nowhere, &[]).0, 2);
    fs::create_dir(&nowhere).unwrap();
    let (code, error) = verify(&nowhere, &[]);
    assert_eq!(code, 2);
    assert!(error["error"]["message"].as_str().unwrap().contains("no data directory"), "{error}");
    assert_eq!(fs::read_dir(&nowhere).unwrap().count(), 0, "nothing was created");
}
