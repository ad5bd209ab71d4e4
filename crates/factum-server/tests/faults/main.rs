//! Faults of the real system under the real binary: no room on the disk, no file descriptors, a
//! file system that only reads. Producers get an error that they retry, readers go on, and the
//! log goes on by itself when the fault is over; nothing acknowledged is lost, nothing is twice.
//!
//! File systems of their own need root; what is not possible on a machine is skipped, saying so.
//! A slow or lying disk is for the simulation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "what is skipped is for who reads the test")]
#![allow(unreachable_pub, reason = "`pub` marks what a module of the test offers")]

#[path = "../common/mod.rs"]
mod common;

mod load;
mod mount;

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use common::Dice;
use common::client::{Client, newest};
use common::server::{Home, Server, until};
use common::work::assert_alive;
use factum_wire::ApiKey;
use factum_wire::messages::MetadataRequest;
use load::Load;
use mount::{Mounted, said};

fn skip(what: &str) {
    println!("skipped: {what} is not possible here");
}

/// Fails unless the server has said so.
fn assert_said(server: &Server, words: &[&str]) {
    let lines = server.log_lines();
    assert!(words.iter().any(|word| lines.contains(word)), "none of {words:?} in: {lines}");
}

/// Produces over a full disk, until room is given back, and over a restart.
fn outlast_a_full_disk(mounted: &Mounted, test: &str) {
    let home = Home::at(mounted.root().join("data"));
    let server = home.serve();
    let mut load = Load::new(&server, Dice::from_environment(test));
    load.produce(10);
    for _ in 0..2 {
        let ballast = mounted.fill();
        load.produce_until_refused();
        load.read();
        assert_said(&server, &["No space left on device"]);
        fs::remove_file(ballast).unwrap();
        load.produce_until_taken();
        load.produce(60);
        load.read();
    }
    server.stop();
    let server = home.serve();
    load.check(&server);
    server.stop();
}

#[test]
fn a_log_on_a_full_file_system_in_memory_goes_on_when_there_is_room_again() {
    match Mounted::tmpfs() {
        Some(mounted) => outlast_a_full_disk(&mounted, "full tmpfs"),
        None => skip("mounting a file system in memory"),
    }
}

#[test]
fn a_log_on_a_full_disk_goes_on_when_there_is_room_again() {
    match Mounted::ext4() {
        Some(mounted) => outlast_a_full_disk(&mounted, "full disk"),
        None => skip("mounting a disk in a file"),
    }
}

#[test]
fn a_log_that_was_killed_on_a_full_disk_opens_and_has_everything() {
    let Some(mounted) = Mounted::ext4() else { return skip("mounting a disk in a file") };
    let home = Home::at(mounted.root().join("data"));
    let server = home.serve();
    let mut load = Load::new(&server, Dice::from_environment("killed on a full disk"));
    load.produce(10);
    let ballast = mounted.fill();
    load.produce_until_refused();
    server.kill();
    fs::remove_file(ballast).unwrap();
    let server = home.serve();
    load.check_after_kill(&server);
    server.stop();
}

#[test]
fn a_server_without_a_free_file_descriptor_goes_on_when_there_are_some_again() {
    let home = Home::new();
    let server = home.serve();
    let mut load = Load::new(&server, Dice::from_environment("no file descriptor"));
    load.produce(10);
    let limit = |soft: &str| {
        let (process, soft) = (server.id().to_string(), format!("--nofile={soft}:"));
        said(&["prlimit", "--pid", &process, &soft]).is_some()
    };
    // As many as are open in any case: whatever is freed, none is left.
    if !limit("3") {
        return skip("prlimit");
    }
    load.produce_until_refused();
    load.read_newest();
    // It is taken by the system, and waits for the server.
    let mut later = Client::connect(server.kafka);
    let version = newest(ApiKey::Metadata);
    let number = later.send(&MetadataRequest::default(), version).unwrap();
    until("the server says that it takes no connections", || {
        load.read_newest();
        server.log_lines().contains("cannot accept connections")
    });
    assert_said(&server, &["Too many open files"]);
    assert!(limit("1024"), "the limit goes up again");
    load.produce_until_taken();
    later.receive::<factum_wire::messages::MetadataResponse>(number, version).unwrap();
    load.produce(60);
    server.stop();
    let server = home.serve();
    load.check(&server);
    server.stop();
}

#[test]
fn connections_leave_file_descriptors_for_the_log() {
    const FILES: usize = 160;
    let limit = format!("--nofile={FILES}:{FILES}");
    if said(&["prlimit", &limit, "true"]).is_none() {
        return skip("prlimit");
    }
    let home = Home::new().under(&["prlimit", &limit]);
    let server = home.serve();
    let mut load = Load::new(&server, Dice::from_environment("many connections"));
    load.produce(10);
    let (mut served, mut refused) = (Vec::new(), 0);
    for _ in 0..FILES {
        let mut client = Client::connect(server.kafka);
        match client.try_call(&MetadataRequest::default(), newest(ApiKey::Metadata)) {
            Ok(_) => served.push(client),
            Err(_) => refused += 1,
        }
    }
    // They say nothing, and are served in their turn.
    let waiting: Vec<_> = (0..FILES).map(|_| TcpStream::connect(server.http).unwrap()).collect();
    assert!(served.len() >= 10 && refused >= 10, "{} served, {refused} refused", served.len());
    assert_said(&server, &["too many connections"]);
    // Several journals.
    load.produce(200);
    load.read();
    assert!(server.open_files() < FILES, "{} files are open", server.open_files());
    drop((served, waiting));
    until("connections are taken again", || {
        let mut client = Client::connect(server.kafka);
        client.try_call(&MetadataRequest::default(), newest(ApiKey::Metadata)).is_ok()
    });
    assert_alive(&server, "too many connections");
    server.stop();
}

#[test]
fn a_data_directory_that_cannot_be_written_is_told_of_at_the_start() {
    let home = Home::new();
    home.serve().stop();
    let as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let is_root = said(&["id", "-u"]).is_some_and(|id| id.trim() == "0");
    let parent = home.data().parent().unwrap().to_owned();
    for (path, mode) in
        [(parent, 0o755), (home.data(), 0o555), (home.data().join("journal"), 0o555)]
    {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let home = if is_root { home.under(&as_nobody) } else { home };
    let binary = env!("CARGO_BIN_EXE_factum");
    if is_root && said(&[&as_nobody[..], &[binary, "--version"]].concat()).is_none() {
        return skip("running the binary as another user");
    }
    assert_refuses_to_start(&home, "Permission denied");
}

#[test]
fn a_read_only_file_system_is_told_of_at_the_start() {
    let Some(mounted) = Mounted::ext4() else { return skip("mounting a disk in a file") };
    let home = Home::at(mounted.root().join("data"));
    home.serve().stop();
    assert!(mounted.remount("ro"), "nobody uses it");
    assert_refuses_to_start(&home, "Read-only file system");
    assert!(mounted.remount("rw"));
    home.serve().stop();
}

/// The server must not start, and must say where and why.
fn assert_refuses_to_start(home: &Home, why: &str) {
    let (status, said) = home.serve_in_vain(&[]);
    assert!(!status.success());
    assert!(said.contains(why), "{said}");
    assert!(said.contains(&home.data().display().to_string()), "not where: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_file_system_that_turns_read_only_stops_producers_and_not_readers() {
    let Some(mounted) = Mounted::ext4() else { return skip("mounting a disk in a file") };
    let home = Home::at(mounted.root().join("data"));
    let server = home.serve();
    let mut load = Load::new(&server, Dice::from_environment("read-only"));
    load.produce(60);
    if !mounted.turn_read_only() {
        return skip("an error of the file system");
    }
    load.produce_until_refused();
    load.read();
    assert_said(&server, &["Read-only file system", "Input/output error"]);
    assert_alive(&server, "the file system turned read-only");
    server.stop();
}
