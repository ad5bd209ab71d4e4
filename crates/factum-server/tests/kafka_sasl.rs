//! Logging in at the Kafka door: who gets in, who does not, what strangers may ask, and how long a
//! login counts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::print_stdout, reason = "a seed and counts are for who reads the test")]

mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use common::Dice;
use common::certificates::{Authority, ClientTls, Files};
use common::client::{Client, raw_request};
use common::login::{Scram, authenticate, handshake, message_request, plain, scram};
use common::server::{Home, Server, nobody, until};
use common::work::*;
use factum_wire::messages::*;
use factum_wire::{ApiKey, ErrorCode};
use serde_json::{Value, json};
use tokio_rustls::rustls::ClientConfig;

const SASL: &str = "sasl_plaintext://127.0.0.1:0";
const SASL_SSL: &str = "sasl_ssl://127.0.0.1:0";
const PASSWORD: &str = "correct horse, battery=staple";

fn home() -> Home {
    Home::new().with("FACTUM_ADMIN_PASSWORD", PASSWORD)
}

fn connect(server: &Server) -> Client {
    Client::connect(server.listener("sasl_plaintext"))
}

fn metadata(client: &mut Client) -> io::Result<usize> {
    client.try_call(&MetadataRequest::default(), 12).map(|answer| answer.brokers.len())
}

/// Logins by a mechanism that have failed; there must have been one.
fn failures(server: &Server, mechanism: &str) -> f64 {
    let labels = format!("{{mechanism=\"{mechanism}\",result=\"failure\"}}");
    server.metric(&format!("factum_kafka_authentications_total{labels}"))
}

/// A server with logins over TLS, and who trusts it.
struct Encrypted {
    server: Server,
    client: Arc<ClientConfig>,
    _home: Home,
}

impl Encrypted {
    fn new(flags: &[&str]) -> Self {
        let home = home();
        let files = Files::new(home.directory());
        let authority = Authority::new("Authority");
        files.write(&authority.server(365));
        let own = files.flags();
        let own = own.iter().map(String::as_str).chain(["--listener", SASL_SSL]);
        let all: Vec<&str> = own.chain(flags.iter().copied()).collect();
        let server = home.serve_with(&all);
        Self { server, client: ClientTls::trusting(&authority).build(), _home: home }
    }

    fn connect(&self) -> Client {
        Client::connect_tls(self.server.listener("sasl_ssl"), &self.client).unwrap()
    }
}

#[test]
fn who_logs_in_is_served_by_each_mechanism() {
    let encrypted = Encrypted::new(&["--listener", SASL]);
    let server = &encrypted.server;
    for mut client in [connect(server), encrypted.connect()] {
        assert_eq!(scram(&mut client, Scram::Sha256, "admin", PASSWORD).error_code, 0);
        assert_eq!(metadata(&mut client).unwrap(), 1);
    }
    let mut client = connect(server);
    assert_eq!(scram(&mut client, Scram::Sha512, "admin", PASSWORD).error_code, 0);
    create(&mut client, "events", 1);
    let mut client = encrypted.connect();
    let answer = plain(&mut client, "admin", PASSWORD);
    assert_eq!((answer.error_code, answer.session_lifetime_ms), (0, 0));
    assert_eq!(append(&mut client, "events", 0, batch(&records(0..3))), 0);
    let by = |mechanism| {
        let labels = format!("{{mechanism=\"{mechanism}\",result=\"success\"}}");
        server.metric(&format!("factum_kafka_authentications_total{labels}"))
    };
    assert_eq!((by("SCRAM-SHA-256"), by("SCRAM-SHA-512"), by("PLAIN")), (2.0, 1.0, 1.0));
    assert!(!server.log_lines().contains("horse"), "{}", server.log_lines());
}

#[test]
fn passwords_as_they_are_go_over_tls_unless_told_otherwise() {
    let home = home();
    let server = home.serve_with(&["--listener", SASL]);
    let mut client = connect(&server);
    let answer = handshake(&mut client, "PLAIN");
    assert_eq!(error(answer.error_code), error(ErrorCode::UnsupportedSaslMechanism.code()));
    let offered: Vec<String> = answer.mechanisms.iter().map(ToString::to_string).collect();
    assert_eq!(offered, ["SCRAM-SHA-256", "SCRAM-SHA-512"]);
    client.assert_closed("after a mechanism that is not offered");
    server.stop();
    let server = home.serve_with(&["--listener", SASL, "--sasl-plain-without-tls"]);
    assert_eq!(plain(&mut connect(&server), "admin", PASSWORD).error_code, 0);
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same_and_take_their_time() {
    let encrypted = Encrypted::new(&["--failed-authentication-delay-ms", "300"]);
    let refused = |login: &dyn Fn(&mut Client) -> SaslAuthenticateResponse| {
        let mut client = encrypted.connect();
        let started = Instant::now();
        let answer = login(&mut client);
        assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
        assert_eq!(error(answer.error_code), error(ErrorCode::SaslAuthenticationFailed.code()));
        client.assert_closed("after a login that failed");
        answer.error_message.unwrap().to_string()
    };
    let wrong = refused(&|client| plain(client, "admin", "wrong"));
    assert_eq!(wrong, refused(&|client| plain(client, "nobody", "wrong")));
    for kind in [Scram::Sha256, Scram::Sha512] {
        let wrong = refused(&|client| scram(client, kind, "admin", "wrong"));
        assert_eq!(wrong, refused(&|client| scram(client, kind, "nobody", "wrong")));
        assert!(wrong.contains(kind.name()), "{wrong}");
    }
    let log = encrypted.server.log_lines();
    assert!(log.contains("login failed") && log.contains("nobody"), "{log}");
}

#[test]
fn a_user_that_does_not_exist_has_a_salt_that_stays() {
    let home = home();
    let server = home.serve_with(&["--listener", SASL]);
    let salt = |user: &str| {
        let mut client = connect(&server);
        handshake(&mut client, "SCRAM-SHA-256");
        let answer = authenticate(&mut client, format!("n,,n={user},r=abc"));
        let text = String::from_utf8(answer.auth_bytes.to_vec()).unwrap();
        text.split_once(",s=").unwrap().1.to_owned()
    };
    assert_eq!(salt("nobody"), salt("nobody"));
    assert_ne!(salt("nobody"), salt("anybody"));
    assert_eq!(salt("nobody").len(), salt("admin").len());
}

#[test]
fn a_login_cannot_be_replayed_or_bent() {
    let home = home();
    let server = home.serve_with(&["--listener", SASL]);
    let begin = |client: &mut Client| {
        assert_eq!(handshake(client, "SCRAM-SHA-512").error_code, 0);
        let challenge = authenticate(client, "n,,n=admin,r=abc");
        String::from_utf8(challenge.auth_bytes.to_vec()).unwrap()
    };
    let mut client = connect(&server);
    let challenge = begin(&mut client);
    let (good, _) = Scram::Sha512.answer("n=admin,r=abc", &challenge, PASSWORD);
    let refused = |message: &str| {
        let mut client = connect(&server);
        begin(&mut client);
        let answer = authenticate(&mut client, message);
        assert_eq!(
            error(answer.error_code),
            error(ErrorCode::SaslAuthenticationFailed.code()),
            "{message}"
        );
        client.assert_closed(message);
    };
    refused(&good);
    refused(&good.replace("biws", "eSws"));
    refused("");
    refused("c=biws");
    // A proof that is shorter, longer, empty.
    let (without_proof, proof) = good.rsplit_once(",p=").unwrap();
    for proof in ["", "AAAA", &proof[4..], &format!("{}{proof}", &proof[..4]), "%"] {
        refused(&format!("{without_proof},p={proof}"));
    }
    assert_eq!(authenticate(&mut client, good).error_code, 0, "in its own place it is good");
    assert_eq!(metadata(&mut client).unwrap(), 1);
}

#[test]
fn strangers_are_told_the_versions_and_nothing_else() {
    let home = home();
    let server = home.serve_with(&["--listener", SASL]);
    let versions = ApiVersionsRequest {
        client_software_name: name("test"),
        client_software_version: name("1"),
        node_id: -1,
        ..Default::default()
    };
    let mut client = connect(&server);
    assert_eq!(client.call(&versions, 3).error_code, 0);
    assert!(metadata(&mut client).is_err(), "Metadata before a login");
    // In the middle of a login, too.
    let mut client = connect(&server);
    handshake(&mut client, "SCRAM-SHA-256");
    authenticate(&mut client, "n,,n=admin,r=abc");
    assert!(metadata(&mut client).is_err(), "Metadata in the middle of a login");
    // And large requests only behind it.
    let mut client = connect(&server);
    client.send_bytes(&((512_i32 << 10) + 1).to_be_bytes()).unwrap();
    client.assert_closed("a request larger than a login");
    let log = server.log_lines();
    assert!(log.contains("before a login"), "{log}");
    assert_alive(&server, "strangers");
}

#[test]
fn login_messages_out_of_place_close_the_connection() {
    let home = home();
    let server = home.serve_with(&["--listener", SASL]);
    let illegal = |client: &mut Client| {
        let answer = authenticate(client, "n,,n=admin,r=abc");
        assert_eq!(error(answer.error_code), error(ErrorCode::IllegalSaslState.code()));
        client.assert_closed("a message out of place");
    };
    illegal(&mut connect(&server));
    // Where nobody logs in, there is nobody to keep out.
    let mut plain = Client::connect(server.kafka);
    let answer = handshake(&mut plain, "SCRAM-SHA-256");
    assert_eq!(error(answer.error_code), error(ErrorCode::IllegalSaslState.code()));
    let mut client = connect(&server);
    let request = SaslHandshakeRequest { mechanism: name("SCRAM-SHA-256") };
    let answer = client.call(&request, 0);
    assert_eq!(error(answer.error_code), error(ErrorCode::UnsupportedVersion.code()));
    client.assert_closed("the login of Kafka 0.10");
    let mut client = connect(&server);
    let answer = handshake(&mut client, "GSSAPI");
    assert_eq!(error(answer.error_code), error(ErrorCode::UnsupportedSaslMechanism.code()));
    // Nobody begins anew until somebody is found.
    let mut client = connect(&server);
    assert_eq!(handshake(&mut client, "SCRAM-SHA-256").error_code, 0);
    let answer = handshake(&mut client, "SCRAM-SHA-256");
    assert_eq!(error(answer.error_code), error(ErrorCode::IllegalSaslState.code()));
    client.assert_closed("a second login before the end of the first");
}

#[test]
fn who_does_not_log_in_as_they_should_counts_as_one_who_failed() {
    let home = home();
    let server = home.serve_with(&["--listener", SASL]);
    assert!(metadata(&mut connect(&server)).is_err(), "a request before a login");
    assert_eq!(failures(&server, "other"), 1.0);
    authenticate(&mut connect(&server), "n,,n=admin,r=abc");
    assert_eq!(failures(&server, "other"), 2.0, "a message without a login");
    let raw = b"\0admin\0secret";
    let framed = [&(raw.len() as u32).to_be_bytes()[..], raw].concat();
    for (count, bytes) in [(3.0, &framed[..]), (4.0, &b"GET / HTTP/1.1\r\n"[..])] {
        let mut client = connect(&server);
        client.send_bytes(bytes).unwrap();
        client.assert_closed("bytes that are no request");
        assert_eq!(failures(&server, "other"), count, "{}", bytes.escape_ascii());
    }
    let mut client = connect(&server);
    handshake(&mut client, "SCRAM-SHA-256");
    handshake(&mut client, "SCRAM-SHA-256");
    assert_eq!(failures(&server, "SCRAM-SHA-256"), 1.0, "a login within a login");
    let mut client = connect(&server);
    handshake(&mut client, "SCRAM-SHA-512");
    assert!(metadata(&mut client).is_err(), "a request in the middle of a login");
    assert_eq!(failures(&server, "SCRAM-SHA-512"), 1.0);
    // Where nobody logs in, nobody fails to.
    authenticate(&mut Client::connect(server.kafka), "n,,n=admin,r=abc");
    assert_eq!(failures(&server, "other"), 4.0);
    server.assert_log_says("no login is under way");
}

#[test]
fn noise_as_a_login_closes_only_itself() {
    let home = home();
    let server = home.serve_with(&[
        "--listener",
        SASL,
        "--failed-authentication-delay-ms",
        "0",
        "--sasl-plain-without-tls",
    ]);
    let mut dice = Dice::from_environment("noise as a login");
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        for _ in 0..30 {
            let mut client = connect(&server);
            handshake(&mut client, mechanism);
            let length = dice.below(300) as usize;
            let answer = authenticate(&mut client, dice.bytes(length));
            assert_eq!(error(answer.error_code), error(ErrorCode::SaslAuthenticationFailed.code()));
            client.assert_closed("noise");
        }
    }
    let mut client = connect(&server);
    let body = dice.bytes(40);
    client.send_bytes(&raw_request(ApiKey::SaslAuthenticate.into(), 2, 1, true, &body)).unwrap();
    // An answer or an end; what follows must be served.
    let _ = client.frame();
    assert_alive(&server, "noise");
    assert_eq!(scram(&mut connect(&server), Scram::Sha256, "admin", PASSWORD).error_code, 0);
}

#[test]
fn a_login_that_has_ended_closes_the_connection_unless_it_is_done_again() {
    let home = home();
    let server = home.serve_with(&["--listener", SASL, "--connections-max-reauth-ms", "2000"]);
    let (mut again, mut not) = (connect(&server), connect(&server));
    for client in [&mut again, &mut not] {
        let answer = scram(client, Scram::Sha256, "admin", PASSWORD);
        assert_eq!((answer.error_code, answer.session_lifetime_ms), (0, 2000));
        assert_eq!(metadata(client).unwrap(), 1);
    }
    let started = Instant::now();
    until("the login has ended", || {
        assert_eq!(scram(&mut again, Scram::Sha256, "admin", PASSWORD).error_code, 0);
        started.elapsed() > Duration::from_millis(2100)
    });
    assert_eq!(metadata(&mut again).unwrap(), 1, "logged in again in time");
    assert!(metadata(&mut not).is_err(), "not logged in again");
    server.assert_log_says("after the login has ended");
}

#[test]
fn who_logs_in_again_stays_who_they_are_and_keeps_their_mechanism() {
    let tokens = Tokens::new();
    let server = tokens.serve(&[]);
    let mut client = connect(&server);
    assert_eq!(tokens.log_in(&mut client, &tokens.claims()).error_code, 0);
    let answer = scram(&mut client, Scram::Sha256, "admin", PASSWORD);
    assert_eq!(error(answer.error_code), error(ErrorCode::SaslAuthenticationFailed.code()));
    client.assert_closed("another mechanism");
    let mut client = connect(&server);
    assert_eq!(tokens.log_in(&mut client, &tokens.claims()).error_code, 0);
    let mut other = tokens.claims();
    other["sub"] = json!("bob");
    let answer = tokens.log_in(&mut client, &other);
    assert_eq!(error(answer.error_code), error(ErrorCode::SaslAuthenticationFailed.code()));
    client.assert_closed("another user");
}

/// Somebody who issues tokens, and a server that trusts them.
struct Tokens {
    home: Home,
    pair: EcdsaKeyPair,
}

impl Tokens {
    fn new() -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap();
        let tokens = Self { home: home(), pair };
        tokens.publish("one");
        tokens
    }

    /// Writes the document of keys, with the key under this name.
    fn publish(&self, id: &str) {
        let point = self.pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        let key = json!({"kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y});
        let path = self.home.directory().join("keys.json");
        fs::write(path, json!({ "keys": [key] }).to_string()).unwrap();
    }

    fn serve(&self, flags: &[&str]) -> Server {
        let oauth = ["--oauth-jwks", "keys.json", "--oauth-issuer", "https://issuer.example"];
        let own = ["--listener", SASL, "--oauth-audience", "factum"];
        self.home.serve_with(&[&oauth[..], &own, flags].concat())
    }

    fn claims(&self) -> Value {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let issuer = "https://issuer.example";
        json!({"sub": "alice", "iss": issuer, "aud": "factum", "iat": now, "exp": now + 600})
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn log_in(&self, client: &mut Client, claims: &Value) -> SaslAuthenticateResponse {
        let header = json!({"alg": "ES256", "kid": "one"});
        bearer(client, &self.token(&header, claims))
    }
}

/// Logs in with a token: the last answer.
fn bearer(client: &mut Client, token: &str) -> SaslAuthenticateResponse {
    assert_eq!(handshake(client, "OAUTHBEARER").error_code, 0);
    let answer = authenticate(client, format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}"));
    if answer.error_code == 0 && !answer.auth_bytes.is_empty() {
        let said: Value = serde_json::from_slice(&answer.auth_bytes).unwrap();
        assert_eq!(said["status"], "invalid_token");
        return authenticate(client, [1]);
    }
    answer
}

#[test]
fn a_token_counts_until_it_ends() {
    let tokens = Tokens::new();
    let server = tokens.serve(&["--oauth-clock-skew-ms", "0"]);
    let mut client = connect(&server);
    let answer = tokens.log_in(&mut client, &tokens.claims());
    assert_eq!(answer.error_code, 0);
    assert!((590_000..=600_000).contains(&answer.session_lifetime_ms), "{answer:?}");
    assert_eq!(metadata(&mut client).unwrap(), 1);
    let refused = |name: &str, value: Value| {
        let mut claims = tokens.claims();
        claims[name] = value;
        let mut client = connect(&server);
        let answer = tokens.log_in(&mut client, &claims);
        assert_eq!(
            error(answer.error_code),
            error(ErrorCode::SaslAuthenticationFailed.code()),
            "{name}"
        );
        client.assert_closed(name);
    };
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    refused("exp", json!(now - 1));
    refused("nbf", json!(now + 60));
    refused("iss", json!("https://other.example"));
    refused("aud", json!("another"));
    refused("sub", json!(""));
    server.assert_log_says("its exp is");
    let mut short = tokens.claims();
    short["exp"] = json!(now + 3);
    let mut client = connect(&server);
    assert_eq!(tokens.log_in(&mut client, &short).error_code, 0);
    assert!(metadata(&mut client).is_ok());
    until("the token has ended", || {
        // Each waits for its answer.
        metadata(&mut client).is_err()
    });
}

#[test]
fn a_token_logs_in_over_http_too_with_every_request() {
    let tokens = Tokens::new();
    let server = tokens.serve(&["--access-control", "--super-users", "User:alice"]);
    let header = json!({"alg": "ES256", "kid": "one"});
    let show = |token: &str| {
        let mut command = nobody(&server, "acl list");
        let output = command.env("FACTUM_TOKEN", token).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    };
    show(&tokens.token(&header, &tokens.claims())).unwrap();
    let mut bob = tokens.claims();
    bob["sub"] = json!("bob");
    let denied = show(&tokens.token(&header, &bob)).unwrap_err();
    assert!(denied.contains("User:bob"), "{denied}");
    let mut late = tokens.claims();
    late["exp"] = json!(1);
    for refused in [&tokens.token(&header, &late), "a.b.c", "\u{1}", ""] {
        let refused = show(refused).unwrap_err();
        assert!(refused.contains("FACTUM_TOKEN") && !refused.contains("exp is"), "{refused}");
    }
    server.assert_log_says("its exp is");
    let mut stream = TcpStream::connect(server.http).unwrap();
    let request = "GET /acls HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a.b.c\r\n\
                   connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let challenge = "www-authenticate: Bearer realm=\"factum\", error=\"invalid_token\"";
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains(challenge), "{answer}");
}

#[test]
fn a_token_over_http_is_of_no_use_where_nobody_issues_any() {
    let home = home();
    let server = home.serve_with(&["--access-control"]);
    let output = nobody(&server, "acl list").env("FACTUM_TOKEN", "a.b.c").output().unwrap();
    assert!(!output.status.success());
    server.assert_log_says("set oauth_jwks");
}

/// It once counted when the client had taken note: who hung up instead had not failed.
#[test]
fn a_refused_token_is_one_failure_whatever_the_client_does_next() {
    let tokens = Tokens::new();
    let server = tokens.serve(&["--failed-authentication-delay-ms", "300"]);
    let refused = || {
        let mut client = connect(&server);
        handshake(&mut client, "OAUTHBEARER");
        let started = Instant::now();
        let answer = authenticate(&mut client, "n,,\u{1}auth=Bearer a.b.c\u{1}\u{1}");
        assert_eq!(answer.error_code, 0, "the reason comes first");
        assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
        client
    };
    let mut client = refused();
    assert_eq!(failures(&server, "OAUTHBEARER"), 1.0);
    let answer = authenticate(&mut client, [1]);
    assert_eq!(error(answer.error_code), error(ErrorCode::SaslAuthenticationFailed.code()));
    client.assert_closed("the client has taken note");
    drop(refused());
    assert_eq!(failures(&server, "OAUTHBEARER"), 2.0, "hung up");
    assert!(refused().try_call(&SaslHandshakeRequest::default(), 1).is_err(), "begun anew");
    assert!(metadata(&mut refused()).is_err(), "something else");
    assert_eq!(failures(&server, "OAUTHBEARER"), 4.0);
    let log = server.log_lines();
    assert_eq!(log.matches("login failed").count(), 4, "{log}");
    assert!(log.contains("no signed token") && !log.contains("a.b.c"), "{log}");
}

#[test]
fn tokens_of_keys_that_nobody_trusts_are_refused_and_new_keys_are_found() {
    let tokens = Tokens::new();
    let server = tokens.serve(&[]);
    let try_with = |header: Value| {
        let token = tokens.token(&header, &tokens.claims());
        bearer(&mut connect(&server), &token).error_code
    };
    let failed = ErrorCode::SaslAuthenticationFailed.code();
    assert_eq!(try_with(json!({"alg": "ES256", "kid": "two"})), failed);
    assert_eq!(try_with(json!({"alg": "none", "kid": "one"})), failed);
    let stranger = Tokens::new();
    let forged = stranger.token(&json!({"alg": "ES256", "kid": "one"}), &tokens.claims());
    assert_eq!(bearer(&mut connect(&server), &forged).error_code, failed);
    assert_eq!(bearer(&mut connect(&server), "a.b.c").error_code, failed);
    tokens.publish("two");
    until("the new key is found", || try_with(json!({"alg": "ES256", "kid": "two"})) == 0);
}

#[test]
fn an_empty_message_is_no_login_of_any_mechanism() {
    let tokens = Tokens::new();
    let server = tokens.serve(&[]);
    for mechanism in ["OAUTHBEARER", "SCRAM-SHA-256"] {
        let mut client = connect(&server);
        handshake(&mut client, mechanism);
        let answer = client.call(&message_request(Bytes::new()), 0);
        assert_eq!(
            error(answer.error_code),
            error(ErrorCode::SaslAuthenticationFailed.code()),
            "{mechanism}"
        );
    }
}
