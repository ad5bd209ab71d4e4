//! Listeners and TLS at both doors: who gets in, who does not, and what happens meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Instant;

use common::certificates::{Authority, ClientTls, Files, Issued};
use common::client::Client;
use common::server::{Home, Server, until};
use common::work::*;
use common::{DEADLINE, Dice};
use factum_event::batch::{BatchRecord, Codec};
use factum_wire::messages::*;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::cipher_suite;
use tokio_rustls::rustls::version::{TLS12, TLS13};

const SSL: &str = "ssl://127.0.0.1:0";

/// A server with a plain and an encrypted listener, and who made its certificate.
struct World {
    authority: Authority,
    files: Files,
    home: Home,
}

impl World {
    fn new() -> Self {
        let home = Home::new();
        let files = Files::new(home.directory());
        let authority = Authority::new("Authority");
        files.write(&authority.server(365));
        fs::write(&files.client_ca, authority.pem()).unwrap();
        Self { authority, files, home }
    }

    fn serve(&self, flags: &[&str]) -> Server {
        let own = self.files.flags();
        let all: Vec<&str> = own.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        self.home.serve_with(&all)
    }

    /// A server whose encrypted listener asks for certificates.
    fn serve_clients(&self, flags: &[&str]) -> Server {
        let authorities = self.files.client_ca.display().to_string();
        let own = ["--listener", SSL, "--tls-client-ca", &authorities];
        self.serve(&[&own[..], &["--tls-client-auth", "required"], flags].concat())
    }

    fn client(&self) -> Arc<ClientConfig> {
        ClientTls::trusting(&self.authority).build()
    }

    fn client_as(&self, own: &Issued) -> Arc<ClientConfig> {
        ClientTls::trusting(&self.authority).with(own).build()
    }
}

/// Whether somebody gets an answer to a request.
fn is_served(address: SocketAddr, config: &Arc<ClientConfig>) -> bool {
    let metadata = MetadataRequest::default();
    Client::connect_tls(address, config)
        .and_then(|mut client| client.try_call(&metadata, 12))
        .is_ok_and(|answer| answer.brokers.len() == 1)
}

#[test]
fn what_is_written_over_tls_is_read_over_tls_and_without_it() {
    let world = World::new();
    let server = world.serve(&["--listener", SSL, "--tail-bytes", "1MiB"]);
    let mut over_tls = Client::connect_tls(server.listener("ssl"), &world.client()).unwrap();
    let mut plain = Client::connect(server.kafka);
    create(&mut over_tls, "events", 1);
    let mut dice = Dice::new(7);
    // More than memory keeps, so that most of it comes from the disk.
    let sent: Vec<_> = (0..6)
        .map(|number| {
            let mut record = record(number);
            record.value = Some(dice.bytes(900_000).into());
            record
        })
        .collect();
    for record in &sent {
        let bytes = batch_of(Codec::None, None, std::slice::from_ref(record));
        append(&mut over_tls, "events", 0, bytes);
    }
    for (reader, client) in [("over TLS", &mut over_tls), ("without TLS", &mut plain)] {
        let came = read_all(client, "events", 0);
        assert_eq!(came.len(), sent.len(), "{reader}");
        for (came, sent) in came.iter().zip(&sent) {
            assert!(came.record.value == sent.value, "{reader}: another value at {}", came.offset);
        }
    }
    server.stop();
}

#[test]
fn each_listener_tells_its_own_address_or_the_one_that_was_reached() {
    let world = World::new();
    let advertised = "ssl://127.0.0.1:0?advertise=broker.example:19093";
    let server = world.serve(&["--listener", advertised, "--listener", "plaintext://127.0.0.1:0"]);
    let told = |client: &mut Client| {
        let broker = client.ask(&MetadataRequest::default()).brokers.remove(0);
        (broker.host.to_string(), broker.port)
    };
    let mut over_tls = Client::connect_tls(server.listener("ssl"), &world.client()).unwrap();
    assert_eq!(told(&mut over_tls), ("broker.example".to_owned(), 19093));
    let mut plain = Client::connect(server.kafka);
    assert_eq!(told(&mut plain), ("127.0.0.1".to_owned(), i32::from(server.kafka.port())));
}

#[test]
fn both_versions_of_tls_are_spoken_with_the_suites_of_the_list_and_no_others() {
    let world = World::new();
    let server = world.serve(&["--listener", SSL]);
    let try_with = |version, suite| {
        let trusting = ClientTls::trusting(&world.authority);
        let mut client = ClientTls { versions: vec![version], ..trusting };
        client.provider.cipher_suites = vec![suite];
        is_served(server.listener("ssl"), &client.build())
    };
    assert!(try_with(&TLS13, cipher_suite::TLS13_AES_256_GCM_SHA384));
    assert!(try_with(&TLS13, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256));
    assert!(try_with(&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384));
    assert!(!try_with(&TLS13, cipher_suite::TLS13_AES_128_GCM_SHA256));
    assert!(!try_with(&TLS12, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256));
    assert!(server.metric("factum_tls_handshakes_failed_total{reason=\"refused\"}") >= 2.0);
}

/// The first message of a client that knows nothing newer than this version.
fn client_hello(minor: u8) -> Vec<u8> {
    let suites: [u8; 8] = [0xc0, 0x13, 0xc0, 0x14, 0x00, 0x2f, 0x00, 0x35];
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 8]);
    body.extend(suites);
    body.extend([1, 0]);
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(body);
    let mut record = vec![0x16, 3, 1, 0, message.len() as u8];
    record.extend(message);
    record
}

#[test]
fn tls_1_1_and_older_is_refused() {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    // What rustls says depends on what it misses first.
    const HANDSHAKE_FAILURE: u8 = 40;
    const PROTOCOL_VERSION: u8 = 70;
    let world = World::new();
    let server = world.serve(&["--listener", SSL]);
    for minor in [0, 1, 2] {
        let mut socket = TcpStream::connect(server.listener("ssl")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.write_all(&client_hello(minor)).unwrap();
        let mut answer = Vec::new();
        // Its end may be a reset.
        let _ = socket.read_to_end(&mut answer);
        let is_refused =
            matches!(answer[..], [ALERT, _, _, 0, 2, FATAL, HANDSHAKE_FAILURE | PROTOCOL_VERSION]);
        assert!(is_refused, "3.{minor}: {answer:?}");
    }
    assert_alive(&server, "old versions of TLS");
}

#[test]
fn a_client_that_does_not_trust_the_servers_authority_does_not_connect() {
    let world = World::new();
    let server = world.serve(&["--listener", SSL]);
    let other = Authority::new("Another");
    assert!(!is_served(server.listener("ssl"), &ClientTls::trusting(&other).build()));
    assert!(is_served(server.listener("ssl"), &world.client()));
}

#[test]
fn where_certificates_are_required_only_those_of_the_authority_get_in() {
    let world = World::new();
    let server = world.serve_clients(&[]);
    let address = server.listener("ssl");
    let mine = world.authority.client("order-service", 1);
    let strange = Authority::new("Authority").client("order-service", 1);
    assert!(is_served(address, &world.client_as(&mine)));
    assert!(!is_served(address, &world.client()), "without a certificate");
    assert!(!is_served(address, &world.client_as(&strange)), "of another authority");
    server.assert_log_says("the TLS handshake failed");
}

#[test]
fn where_certificates_are_requested_none_is_fine_and_a_wrong_one_is_not() {
    let world = World::new();
    let authorities = world.files.client_ca.display().to_string();
    let requested = "ssl://127.0.0.1:0?client_auth=requested";
    let server = world.serve(&["--listener", requested, "--tls-client-ca", &authorities]);
    let address = server.listener("ssl");
    let strange = Authority::new("Authority").client("order-service", 1);
    assert!(is_served(address, &world.client()));
    assert!(is_served(address, &world.client_as(&world.authority.client("a", 1))));
    assert!(!is_served(address, &world.client_as(&strange)));
}

#[test]
fn revoked_certificates_are_refused_from_the_moment_the_list_is_there() {
    let world = World::new();
    fs::write(&world.files.crl, world.authority.revoked(&[])).unwrap();
    let list = world.files.crl.display().to_string();
    let server = world.serve_clients(&["--tls-crl", &list]);
    let address = server.listener("ssl");
    let (kept, revoked) = (world.authority.client("a", 7), world.authority.client("b", 8));
    let (kept, revoked) = (world.client_as(&kept), world.client_as(&revoked));
    assert!(is_served(address, &kept) && is_served(address, &revoked));
    fs::write(&world.files.crl, world.authority.revoked(&[8])).unwrap();
    server.hang_up();
    until("the list is used", || !is_served(address, &revoked));
    assert!(is_served(address, &kept));
}

#[test]
fn new_certificates_are_taken_while_connections_go_on_and_bad_ones_are_not() {
    let world = World::new();
    let server = world.serve(&["--listener", SSL]);
    let address = server.listener("ssl");
    let mut before = Client::connect_tls(address, &world.client()).unwrap();
    let first = before.server_certificate();
    let shown = || Client::connect_tls(address, &world.client()).unwrap().server_certificate();

    fs::write(&world.files.key, "no key at all").unwrap();
    until("the bad key is seen", || server.metric("factum_tls_reloads_failed_total") > 0.0);
    assert_eq!(shown(), first, "the old certificate goes on");
    server.assert_log_says("tls_key");
    assert!(!server.log_lines().contains("no key at all"), "a log is no place for keys");

    let new = world.authority.server(20);
    world.files.write(&new);
    until("the new certificate is shown", || shown() != first);
    let left = server.metric("factum_tls_certificate_expires_in_seconds");
    assert!((19.0..=20.0).contains(&(left / 86_400.0)), "{left} s");
    until("its end is warned of", || {
        server.metric("factum_kafka_connections") >= 0.0
            && server.log_lines().contains("ends in 19 days")
    });
    assert_eq!(before.ask(&MetadataRequest::default()).brokers.len(), 1, "it lives on");
}

#[test]
fn handshakes_that_are_never_done_keep_nobody_out() {
    let world = World::new();
    let server = world.serve(&["--listener", SSL]);
    let address = server.listener("ssl");
    let hello = client_hello(3);
    let held: Vec<_> = (0..1500)
        .map(|number| {
            let mut socket = TcpStream::connect(address).unwrap();
            let said = if number % 3 == 0 { 0 } else { hello.len() / 2 };
            socket.write_all(&hello[..said]).unwrap();
            socket
        })
        .collect();
    let started = Instant::now();
    assert!(is_served(address, &world.client()), "{} handshakes are open", held.len());
    assert_alive(&server, "half handshakes");
    assert!(server.memory() < 1 << 30, "{} bytes", server.memory());
    until("the slow ones are closed", || server.metric("factum_tls_handshakes_under_way") == 0.0);
    println!("{:?} until all were gone", started.elapsed());
}

#[test]
fn plain_requests_to_an_encrypted_listener_and_noise_close_only_themselves() {
    let world = World::new();
    let server = world.serve(&["--listener", SSL]);
    let address = server.listener("ssl");
    let mut dice = Dice::from_environment("noise at TLS");
    let mut plain = Client::connect(address);
    assert!(plain.try_call(&MetadataRequest::default(), 12).is_err());
    for length in [1, 5, 100, 20_000] {
        let mut client = Client::connect(address);
        // It may be closed before all of it is sent.
        let _ = client.send_bytes(&dice.bytes(length));
        client.finish();
        let _ = client.frame();
    }
    assert!(is_served(address, &world.client()));
    assert_alive(&server, "noise");
    server.stop();
}

#[test]
fn files_that_cannot_be_used_are_told_before_the_server_is_ready() {
    let world = World::new();
    let in_vain = |flags: &[&str]| {
        let own = world.files.flags();
        let own = own.iter().map(String::as_str);
        let all: Vec<&str> = own.chain(["--listener", SSL]).chain(flags.iter().copied()).collect();
        let (status, said) = world.home.serve_in_vain(&all);
        assert!(!status.success(), "{flags:?}");
        said
    };
    let said = in_vain(&["--tls-crl", "missing.pem", "--tls-client-ca", "missing.pem"]);
    assert!(said.contains("missing.pem"), "{said}");
    let said = in_vain(&["--tls-ciphers", "TLS_NULL"]);
    assert!(said.contains("TLS_AES_256_GCM_SHA384"), "{said}");
    let said = in_vain(&["--tls-principal-rules", "RULE:x"]);
    assert!(said.contains("RULE:PATTERN/REPLACEMENT/"), "{said}");
    fs::write(&world.files.key, world.authority.server(1).key).unwrap();
    assert!(in_vain(&[]).contains("cannot be used together"));
    fs::write(&world.files.certificate, "").unwrap();
    assert!(in_vain(&[]).contains("holds no certificate"));
}

/// Runs the command line against an https server.
fn factum(server: &Server, arguments: &[&str]) -> Output {
    let url = format!("https://{}", server.http);
    let mut command = Command::new(env!("CARGO_BIN_EXE_factum"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FACTUM_")) {
        command.env_remove(name);
    }
    command.args(["--server", &url]).args(arguments).output().unwrap()
}

#[test]
fn the_http_door_speaks_tls_with_the_command_line() {
    let world = World::new();
    let server = world.serve(&["--http-tls"]);
    let authority = world.files.client_ca.display().to_string();
    let trusting =
        |arguments: &[&str]| factum(&server, &[&["--server-ca", &authority], arguments].concat());
    let created = trusting(&["topic", "create", "orders"]);
    assert!(created.status.success(), "{created:?}");
    let event = ["--type", "a", "--source", "/b", "--data", "{\"total\": 42}"];
    let published = trusting(&[&["publish", "orders"][..], &event].concat());
    assert!(published.status.success(), "{published:?}");
    let read = trusting(&["read", "orders", "--limit", "1"]);
    assert!(String::from_utf8_lossy(&read.stdout).contains("\"total\":42"), "{read:?}");

    let stranger = factum(&server, &["topic", "list"]);
    assert!(!stranger.status.success(), "the authority is not one of the system's: {stranger:?}");
    let mut plain = TcpStream::connect(server.http).unwrap();
    plain.set_read_timeout(Some(DEADLINE)).unwrap();
    plain.write_all(b"GET /topics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // An alert of TLS, and the end.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
    server.stop();
}

#[test]
fn the_http_door_lets_in_who_shows_the_certificate_that_it_asks_for() {
    let world = World::new();
    let authority = world.files.client_ca.display().to_string();
    let required = ["--tls-client-ca", &authority, "--tls-client-auth", "required"];
    let server = world.serve(&[&["--http-tls"][..], &required].concat());
    let own = world.authority.client("operator", 3);
    let (certificate, key) =
        (world.home.directory().join("own.pem"), world.home.directory().join("own.key"));
    fs::write(&certificate, &own.certificate).unwrap();
    fs::write(&key, &own.key).unwrap();
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let trusting = ["--server-ca", &authority];
    let list = ["topic", "list"];
    let without = factum(&server, &[&trusting[..], &list].concat());
    assert!(!without.status.success(), "{without:?}");
    let shown = ["--client-certificate", &certificate, "--client-key", &key];
    let with = factum(&server, &[&trusting[..], &shown, &list].concat());
    assert!(with.status.success(), "{with:?}");
}

#[test]
fn who_shows_a_certificate_is_the_principal_that_the_rules_make_of_it() {
    let world = World::new();
    let rules = "RULE:^CN=([a-z-]+),O=Example$/$1/";
    let server = world.serve_clients(&["--tls-principal-rules", rules]);
    let address = server.listener("ssl");
    let own = world.authority.client("order-service", 1);
    let mut client = Client::connect_tls(address, &world.client_as(&own)).unwrap();
    create(&mut client, "orders", 1);
    let changes = read_all(&mut client, "__factum_control", 0);
    let is_named = |record: &BatchRecord| {
        let mut headers = record.record.headers.iter();
        let principal = headers.find(|header| header.key == "ce_principal");
        principal.is_some_and(|header| header.value.as_deref() == Some(b"User:order-service"))
    };
    assert!(changes.iter().any(is_named), "{changes:?}");
    let other = world.authority.client("Another1", 2);
    assert!(!is_served(address, &world.client_as(&other)), "no rule fits");
    server.assert_log_says("CN=Another1,O=Example");
}
