//! What configurations are taken, and what others are told.

use super::*;

fn file(text: &str) -> Result<Layer, ConfigError> {
    Layer::from_toml(Path::new("factum.toml"), text)
}

#[test]
fn defaults_are_safe_without_any_source() {
    let config = Layer::default().resolve().unwrap();
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:9092");
    assert_eq!(config.http.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data, Path::new("./data"));
    assert_eq!(config.journal_bytes, 128 << 20);
    assert!(config.auto_create_topics);
    assert_eq!(config.listeners[0].advertised, None);
    assert_eq!((config.listeners.len(), config.tls, config.http_tls), (1, None, None));
}

#[test]
fn a_layer_above_wins_where_it_says_something() {
    let below = file("kafka = '127.0.0.1:1'\nhttp = '127.0.0.1:2'\ntail_bytes = '1MiB'").unwrap();
    let above = Layer { kafka: Some("127.0.0.1:3".to_owned()), ..Layer::default() };
    let config = above.over(below).resolve().unwrap();
    assert_eq!((config.listeners[0].address.port(), config.http.port()), (3, 2));
    assert_eq!(config.tail_bytes, 1 << 20);
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let error = file("data = 'x'\n\nkafak = '127.0.0.1:1'\n").unwrap_err().to_string();
    assert!(error.contains("line 3"), "{error}");
    assert!(error.contains("kafak"), "{error}");
    assert!(error.contains("factum.toml"), "{error}");
}

#[test]
fn a_wrong_type_is_named_with_its_line() {
    let error = file("default_partitions = 'many'").unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("default_partitions"), "{error}");
}

#[test]
fn listening_beyond_this_machine_needs_to_be_said() {
    let open = Layer { http: Some("0.0.0.0:8080".to_owned()), ..Layer::default() };
    let error = open.clone().resolve().unwrap_err().to_string();
    assert!(error.contains("--insecure-listen"), "{error}");
    let said = Layer { insecure_listen: Some(true), ..open };
    assert_eq!(said.resolve().unwrap().http.to_string(), "0.0.0.0:8080");
    let v6 = Layer { kafka: Some("[::1]:0".to_owned()), ..Layer::default() };
    assert!(v6.resolve().is_ok());
}

#[test]
fn addresses_need_a_port() {
    for bad in ["", "localhost", "127.0.0.1", "127.0.0.1:99999", ":x"] {
        let layer = Layer { kafka: Some(bad.to_owned()), ..Layer::default() };
        assert!(matches!(layer.resolve(), Err(ConfigError::Address { .. })), "{bad}");
    }
    for bad in ["", "host", "host:0", "http://host:1", ":9092"] {
        assert!(host_and_port(bad).is_err(), "{bad}");
    }
    assert_eq!(host_and_port("[::1]:9").unwrap(), ("::1".to_owned(), 9));
}

#[test]
fn numbers_out_of_range_are_refused() {
    for bad in ["journal_bytes = 1", "queue_bytes = 0", "tail_bytes = '2TiB'"] {
        let error = file(bad).unwrap().resolve().unwrap_err();
        assert!(matches!(error, ConfigError::Range { .. }), "{bad}: {error}");
    }
    for bad in
        ["upkeep_interval_ms = 9", "seal_interval_ms = 86400001", "seal_bytes_per_second = 1"]
    {
        assert!(file(bad).unwrap().resolve().is_err(), "{bad}");
    }
    for bad in ["default_partitions = 0", "group_initial_rebalance_delay_ms = 300001"] {
        assert!(file(bad).unwrap().resolve().is_err(), "{bad}");
    }
}

fn listening(lines: &[&str], rest: Layer) -> Result<ServeConfig, ConfigError> {
    let listeners = lines.iter().map(|line| line.parse().unwrap()).collect();
    Layer { listeners: Some(listeners), ..rest }.resolve()
}

fn with_tls() -> Layer {
    let file = |name: &str| Some(PathBuf::from(name));
    Layer { tls_certificate: file("c"), tls_key: file("k"), ..Layer::default() }
}

#[test]
fn kafka_is_one_listener_more_or_the_only_one() {
    let addresses = |config: ServeConfig| -> Vec<String> {
        config.listeners.iter().map(|one| format!("{}://{}", one.protocol, one.address)).collect()
    };
    let more = listening(&["plaintext://127.0.0.1:1"], Layer::default()).unwrap();
    assert_eq!(addresses(more), ["plaintext://127.0.0.1:1"]);
    let kafka = Layer { kafka: Some("127.0.0.1:2".to_owned()), ..with_tls() };
    let both = listening(&["ssl://127.0.0.1:1"], kafka).unwrap();
    assert_eq!(addresses(both), ["plaintext://127.0.0.1:2", "ssl://127.0.0.1:1"]);
    let advertise = Layer { advertise: Some("a:1".to_owned()), ..Layer::default() };
    let nobody = listening(&["plaintext://127.0.0.1:1"], advertise);
    assert!(matches!(nobody, Err(ConfigError::AdvertisedByNobody)), "{nobody:?}");
    let many = vec!["plaintext://127.0.0.1:1"; 65];
    assert!(matches!(listening(&many, Layer::default()), Err(ConfigError::Range { .. })));
}

#[test]
fn listening_beyond_this_machine_is_fine_where_clients_say_who_they_are() {
    let clients = || Layer { tls_client_ca: Some(PathBuf::from("a")), ..with_tls() };
    for line in ["sasl_plaintext://0.0.0.0:1", "sasl_ssl://0.0.0.0:1"] {
        assert!(listening(&[line], clients()).is_ok(), "{line}");
    }
    assert!(listening(&["ssl://0.0.0.0:1?client_auth=required"], clients()).is_ok());
    let open =
        ["plaintext://0.0.0.0:1", "ssl://0.0.0.0:1", "ssl://0.0.0.0:1?client_auth=requested"];
    for line in open {
        let exposed = listening(&[line], clients());
        assert!(matches!(exposed, Err(ConfigError::Exposed { .. })), "{line}: {exposed:?}");
    }
    let http = |tls_client_auth| Layer {
        http: Some("0.0.0.0:1".to_owned()),
        http_tls: Some(true),
        tls_client_auth: Some(tls_client_auth),
        ..clients()
    };
    assert!(http(ClientAuth::Required).resolve().is_ok());
    assert!(matches!(http(ClientAuth::None).resolve(), Err(ConfigError::Exposed { .. })));
}

#[test]
fn what_tls_needs_is_asked_for() {
    let missing = |lines: &[&str], layer| match listening(lines, layer) {
        Err(ConfigError::Missing { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(&["ssl://127.0.0.1:1"], Layer::default()), "tls_certificate");
    let without_key = Layer { tls_key: None, ..with_tls() };
    assert_eq!(missing(&["sasl_ssl://127.0.0.1:1"], without_key), "tls_key");
    let asking = Layer { tls_client_auth: Some(ClientAuth::Required), ..with_tls() };
    assert_eq!(missing(&["ssl://127.0.0.1:1"], asking), "tls_client_ca");
    let http = Layer { http_tls: Some(true), ..Layer::default() };
    assert_eq!(missing(&["plaintext://127.0.0.1:1"], http), "tls_certificate");
    let plain = listening(&["plaintext://127.0.0.1:1?client_auth=required"], with_tls());
    assert!(matches!(plain, Err(ConfigError::CertificatesWithoutTls { .. })), "{plain:?}");
}

#[test]
fn mechanisms_are_offered_where_they_are_safe() {
    let offered = |layer: Layer, protocol| -> Vec<&'static str> {
        layer.resolve().unwrap().sasl.offered(protocol).map(SaslMechanism::name).collect()
    };
    let scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
    assert_eq!(offered(Layer::default(), Protocol::SaslPlaintext), scram);
    let all = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
    assert_eq!(offered(Layer::default(), Protocol::SaslSsl), all);
    let open = Layer { sasl_plain_without_tls: Some(true), ..Layer::default() };
    assert_eq!(offered(open, Protocol::SaslPlaintext), all);
    let plain = file("sasl_mechanisms = ['PLAIN']").unwrap();
    let nobody = listening(&["sasl_plaintext://127.0.0.1:1"], plain);
    assert!(matches!(nobody, Err(ConfigError::NoMechanism { .. })), "{nobody:?}");
}

#[test]
fn tokens_need_keys_that_nobody_on_the_way_can_replace() {
    let tokens = file("sasl_mechanisms = ['OAUTHBEARER']").unwrap().resolve();
    assert!(matches!(tokens, Err(ConfigError::Missing { setting: "oauth_jwks", .. })));
    let keys =
        |jwks: &str| Layer { oauth_jwks: Some(jwks.to_owned()), ..Layer::default() }.resolve();
    for good in ["keys.json", "https://i.example/keys", "http://127.0.0.1:1/keys"] {
        let config = keys(good).unwrap();
        assert!(config.sasl.mechanisms.contains(&SaslMechanism::OauthBearer), "{good}");
    }
    let elsewhere = "oauth_jwks = 'keys.json'\nsasl_mechanisms = ['SCRAM-SHA-256']";
    let off = file(elsewhere).unwrap().resolve().unwrap();
    assert_eq!(off.sasl.oauth, None, "what is not offered is not taken over HTTP either");
    for bad in ["http://i.example/keys", "http://127.0.0.1.example/keys"] {
        assert!(matches!(keys(bad), Err(ConfigError::OpenKeys { .. })), "{bad}");
    }
}

#[test]
fn the_password_of_the_administrator_is_never_shown() {
    let layer = file("admin_password = 'swordfish'").unwrap();
    let shown = format!("{layer:?} {:?}", layer.clone().resolve().unwrap());
    assert!(!shown.contains("swordfish"), "{shown}");
    let empty = file("admin_password = ''").unwrap().resolve().unwrap();
    assert_eq!(empty.admin_password, None);
}
