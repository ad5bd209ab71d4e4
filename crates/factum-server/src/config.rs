//! Configuration of `factum serve`, in three forms.
//!
//! * *Given*: a file, environment variables and flags, each setting under one name in three
//!   spellings (`queue_bytes`, `FACTUM_QUEUE_BYTES`, `--queue-bytes`).
//! * [`Layer`]: what one of them says; every setting optional, every value already of its type.
//! * [`ServeConfig`]: every setting with its value, checked as a whole.
//!
//! Layers rise: defaults, `factum.toml`, environment, flags. Nothing here opens a socket or
//! creates a file.

mod listener;
mod security;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use factum_event::access::Principal;
use serde::Deserialize;
use thiserror::Error;

use crate::byte_size::ByteSize;

pub use listener::{ClientAuth, Listener, ListenerLayer, Protocol};
pub use security::{OauthSettings, SaslMechanism, SaslSettings, Secret, TlsSettings};

/// The file that is read from the working directory where `--config` names none.
pub const DEFAULT_FILE: &str = "factum.toml";

/// Listeners beside the one of `kafka`.
const MAX_LISTENERS: usize = 64;

/// The largest configuration file: one that is larger is something else.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Under which the flags of TLS and login stand in the help.
const SECURITY: &str = "TLS and login";

const DEFAULT_KAFKA: &str = "127.0.0.1:9092";
const DEFAULT_HTTP: &str = "127.0.0.1:8080";
const MIB: u64 = 1 << 20;

/// What one source of configuration says; unset is left to the layer below.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Directory that holds the log; created if missing [default: ./data]
    #[arg(long, value_name = "DIR", env = "FACTUM_DATA")]
    pub data: Option<PathBuf>,

    /// Where Kafka clients connect without encryption and login; port 0 takes a free one
    /// [default: 127.0.0.1:9092, where no listener is given]
    #[arg(long, value_name = "ADDR", env = "FACTUM_KAFKA")]
    pub kafka: Option<String>,

    /// One more place where Kafka clients connect, as PROTOCOL://HOST:PORT with the protocols
    /// plaintext, ssl, sasl_plaintext and sasl_ssl; ?advertise=HOST:PORT is what clients are told,
    /// &client_auth=none|requested|required wins over --tls-client-auth. May be repeated; a list
    /// with commas in the environment, tables `[[listeners]]` in a file
    #[arg(
        long = "listener",
        value_name = "LISTENER",
        env = "FACTUM_LISTENERS",
        value_delimiter = ','
    )]
    pub listeners: Option<Vec<ListenerLayer>>,

    /// Where HTTP clients connect; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "FACTUM_HTTP")]
    pub http: Option<String>,

    /// The address that clients of --kafka are told to come back to, where it is not the one that
    /// is listened on (a container, a name in DNS)
    #[arg(long, value_name = "HOST:PORT", env = "FACTUM_ADVERTISE")]
    pub advertise: Option<String>,

    /// Listen beyond this machine also where nobody is asked who they are
    #[arg(long, env = "FACTUM_INSECURE_LISTEN", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pub insecure_listen: Option<bool>,

    /// Certificates of the server, its own first, in PEM; read again when the file changes
    #[arg(long, value_name = "FILE", env = "FACTUM_TLS_CERTIFICATE", help_heading = SECURITY)]
    pub tls_certificate: Option<PathBuf>,

    /// Key of the certificate, in PEM
    #[arg(long, value_name = "FILE", env = "FACTUM_TLS_KEY", help_heading = SECURITY)]
    pub tls_key: Option<PathBuf>,

    /// Authorities that the certificates of clients come from, in PEM
    #[arg(long, value_name = "FILE", env = "FACTUM_TLS_CLIENT_CA", help_heading = SECURITY)]
    pub tls_client_ca: Option<PathBuf>,

    /// Whether clients show a certificate, where a listener does not say [default: none]
    #[arg(long, value_enum, value_name = "WHEN", env = "FACTUM_TLS_CLIENT_AUTH",
          help_heading = SECURITY)]
    pub tls_client_auth: Option<ClientAuth>,

    /// Revoked certificates of clients: a list of each authority, in PEM
    #[arg(long, value_name = "FILE", env = "FACTUM_TLS_CRL", help_heading = SECURITY)]
    pub tls_crl: Option<PathBuf>,

    /// Cipher suites of TLS 1.3 and 1.2 by their names at IANA [default: those with AES-256-GCM
    /// and ChaCha20-Poly1305]
    #[arg(long, value_name = "NAMES", env = "FACTUM_TLS_CIPHERS", value_delimiter = ',',
          help_heading = SECURITY)]
    pub tls_ciphers: Option<Vec<String>>,

    /// From the name in a client's certificate to its principal, in the form of Kafka's
    /// ssl.principal.mapping.rules, such as RULE:^CN=([^,]+).*$/$1/,DEFAULT [default: DEFAULT]
    #[arg(long, value_name = "RULES", env = "FACTUM_TLS_PRINCIPAL_RULES",
          help_heading = SECURITY)]
    pub tls_principal_rules: Option<String>,

    /// Speak HTTPS instead of HTTP
    #[arg(long, env = "FACTUM_HTTP_TLS", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL", help_heading = SECURITY)]
    pub http_tls: Option<bool>,

    /// Ways to log in, as in Kafka's sasl.enabled.mechanisms
    /// [default: PLAIN,SCRAM-SHA-256,SCRAM-SHA-512, and OAUTHBEARER with --oauth-jwks]
    #[arg(long, value_enum, value_name = "NAMES", env = "FACTUM_SASL_MECHANISMS",
          value_delimiter = ',', ignore_case = true, help_heading = SECURITY)]
    pub sasl_mechanisms: Option<Vec<SaslMechanism>>,

    /// Take passwords (PLAIN) also where the connection is not encrypted
    #[arg(long, env = "FACTUM_SASL_PLAIN_WITHOUT_TLS", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL", help_heading = SECURITY)]
    pub sasl_plain_without_tls: Option<bool>,

    /// How long a login counts before the client must log in again, as in Kafka's
    /// connections.max.reauth.ms; 0 is for as long as the connection [default: 0]
    #[arg(long, value_name = "MS", env = "FACTUM_CONNECTIONS_MAX_REAUTH_MS",
          help_heading = SECURITY)]
    pub connections_max_reauth_ms: Option<u64>,

    /// How long the answer to a login that failed waits, as in Kafka's
    /// connection.failed.authentication.delay.ms [default: 100]
    #[arg(long, value_name = "MS", env = "FACTUM_FAILED_AUTHENTICATION_DELAY_MS",
          help_heading = SECURITY)]
    pub failed_authentication_delay_ms: Option<u64>,

    /// Keys that tokens of OAUTHBEARER are signed with: a file or an https URL with a JSON Web Key
    /// Set, as in Kafka's sasl.oauthbearer.jwks.endpoint.url
    #[arg(long, value_name = "FILE|URL", env = "FACTUM_OAUTH_JWKS", help_heading = SECURITY)]
    pub oauth_jwks: Option<String>,

    /// Authorities that the URL of the keys may have its certificate from, in PEM
    /// [default: those of the system]
    #[arg(long, value_name = "FILE", env = "FACTUM_OAUTH_JWKS_CA", help_heading = SECURITY)]
    pub oauth_jwks_ca: Option<PathBuf>,

    /// Who must have issued a token [default: anybody who has the keys]
    #[arg(long, value_name = "ISSUER", env = "FACTUM_OAUTH_ISSUER", help_heading = SECURITY)]
    pub oauth_issuer: Option<String>,

    /// For whom a token must be, one of these [default: anybody]
    #[arg(long, value_name = "NAMES", env = "FACTUM_OAUTH_AUDIENCE", value_delimiter = ',',
          help_heading = SECURITY)]
    pub oauth_audience: Option<Vec<String>>,

    /// The claim of a token that names the user [default: sub]
    #[arg(long, value_name = "CLAIM", env = "FACTUM_OAUTH_PRINCIPAL_CLAIM",
          help_heading = SECURITY)]
    pub oauth_principal_claim: Option<String>,

    /// How far the clock of who issues tokens may differ [default: 30000]
    #[arg(long, value_name = "MS", env = "FACTUM_OAUTH_CLOCK_SKEW_MS", help_heading = SECURITY)]
    pub oauth_clock_skew_ms: Option<u64>,

    /// Ask the rules (ACLs) what a client may do; without any, only super users may do something
    #[arg(long, env = "FACTUM_ACCESS_CONTROL", help_heading = SECURITY, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pub access_control: Option<bool>,

    /// Let everybody do everything with what no rule is about, whomever rules speak of, as in
    /// Kafka's allow.everyone.if.no.acl.found; Factum's own topics stay closed
    #[arg(long, env = "FACTUM_ALLOW_EVERYONE_IF_NO_ACL_FOUND", help_heading = SECURITY,
          num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_name = "BOOL")]
    pub allow_everyone_if_no_acl_found: Option<bool>,

    /// Who may do everything, such as User:alice;User:bob
    #[arg(long, value_name = "PRINCIPALS", env = "FACTUM_SUPER_USERS", value_delimiter = ';')]
    pub super_users: Option<Vec<Principal>>,

    /// The password of the user admin, who may do everything. Flags can be seen by others: it
    /// comes from the file, or from FACTUM_ADMIN_PASSWORD.
    #[arg(skip)]
    pub admin_password: Option<Secret>,

    /// Partitions of a topic that is created without a number [default: 1]
    #[arg(long, value_name = "N", env = "FACTUM_DEFAULT_PARTITIONS")]
    pub default_partitions: Option<u32>,

    /// Create a topic when a Kafka client names one that is missing [default: true]
    #[arg(long, env = "FACTUM_AUTO_CREATE_TOPICS", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pub auto_create_topics: Option<bool>,

    /// Size at which a journal file is sealed and the next one begun [default: 128MiB]
    #[arg(long, value_name = "SIZE", env = "FACTUM_JOURNAL_BYTES")]
    pub journal_bytes: Option<ByteSize>,

    /// Appended bytes that may wait for their flush; above it producers wait [default: 16MiB]
    #[arg(long, value_name = "SIZE", env = "FACTUM_QUEUE_BYTES")]
    pub queue_bytes: Option<ByteSize>,

    /// Recent bytes kept in memory for readers that keep up [default: 32MiB]
    #[arg(long, value_name = "SIZE", env = "FACTUM_TAIL_BYTES")]
    pub tail_bytes: Option<ByteSize>,

    /// How often to look for what retention and compaction ask for [default: 5000]
    #[arg(long, value_name = "MS", env = "FACTUM_UPKEEP_INTERVAL_MS")]
    pub upkeep_interval_ms: Option<u64>,

    /// How long to wait at least before a journal that is not full is sealed, so that what is in
    /// it can be compacted [default: 60000]
    #[arg(long, value_name = "MS", env = "FACTUM_SEAL_INTERVAL_MS")]
    pub seal_interval_ms: Option<u64>,

    /// Bytes that compaction reads in a second at most [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "FACTUM_COMPACTION_BYTES_PER_SECOND")]
    pub compaction_bytes_per_second: Option<ByteSize>,

    /// Memory for the keys of the compaction that is under way, 27 bytes a key [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "FACTUM_COMPACTION_KEY_BYTES")]
    pub compaction_key_bytes: Option<ByteSize>,

    /// Bytes of full journals that are read again and sealed in a second at most
    /// [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "FACTUM_SEAL_BYTES_PER_SECOND")]
    pub seal_bytes_per_second: Option<ByteSize>,

    /// How long the first member of a consumer group waits for others, as in Kafka's
    /// group.initial.rebalance.delay.ms [default: 3000]
    #[arg(long, value_name = "MS", env = "FACTUM_GROUP_INITIAL_REBALANCE_DELAY_MS")]
    pub group_initial_rebalance_delay_ms: Option<u64>,

    /// How long a member of a group whose partitions the broker assigns may be silent, as in
    /// Kafka's group.consumer.session.timeout.ms [default: 45000]
    #[arg(long, value_name = "MS", env = "FACTUM_GROUP_CONSUMER_SESSION_TIMEOUT_MS")]
    pub group_consumer_session_timeout_ms: Option<u64>,

    /// How often such a member is heard of, as in Kafka's group.consumer.heartbeat.interval.ms;
    /// a rebalance takes one or two of these [default: 5000]
    #[arg(long, value_name = "MS", env = "FACTUM_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS")]
    pub group_consumer_heartbeat_interval_ms: Option<u64>,
}

impl Layer {
    /// This layer where it says something, else the one `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            data: self.data.or(below.data),
            kafka: self.kafka.or(below.kafka),
            listeners: self.listeners.or(below.listeners),
            http: self.http.or(below.http),
            advertise: self.advertise.or(below.advertise),
            insecure_listen: self.insecure_listen.or(below.insecure_listen),
            tls_certificate: self.tls_certificate.or(below.tls_certificate),
            tls_key: self.tls_key.or(below.tls_key),
            tls_client_ca: self.tls_client_ca.or(below.tls_client_ca),
            tls_client_auth: self.tls_client_auth.or(below.tls_client_auth),
            tls_crl: self.tls_crl.or(below.tls_crl),
            tls_ciphers: self.tls_ciphers.or(below.tls_ciphers),
            tls_principal_rules: self.tls_principal_rules.or(below.tls_principal_rules),
            http_tls: self.http_tls.or(below.http_tls),
            sasl_mechanisms: self.sasl_mechanisms.or(below.sasl_mechanisms),
            sasl_plain_without_tls: self.sasl_plain_without_tls.or(below.sasl_plain_without_tls),
            connections_max_reauth_ms: self
                .connections_max_reauth_ms
                .or(below.connections_max_reauth_ms),
            failed_authentication_delay_ms: self
                .failed_authentication_delay_ms
                .or(below.failed_authentication_delay_ms),
            oauth_jwks: self.oauth_jwks.or(below.oauth_jwks),
            oauth_jwks_ca: self.oauth_jwks_ca.or(below.oauth_jwks_ca),
            oauth_issuer: self.oauth_issuer.or(below.oauth_issuer),
            oauth_audience: self.oauth_audience.or(below.oauth_audience),
            oauth_principal_claim: self.oauth_principal_claim.or(below.oauth_principal_claim),
            oauth_clock_skew_ms: self.oauth_clock_skew_ms.or(below.oauth_clock_skew_ms),
            access_control: self.access_control.or(below.access_control),
            allow_everyone_if_no_acl_found: self
                .allow_everyone_if_no_acl_found
                .or(below.allow_everyone_if_no_acl_found),
            super_users: self.super_users.or(below.super_users),
            admin_password: self.admin_password.or(below.admin_password),
            default_partitions: self.default_partitions.or(below.default_partitions),
            auto_create_topics: self.auto_create_topics.or(below.auto_create_topics),
            journal_bytes: self.journal_bytes.or(below.journal_bytes),
            queue_bytes: self.queue_bytes.or(below.queue_bytes),
            tail_bytes: self.tail_bytes.or(below.tail_bytes),
            upkeep_interval_ms: self.upkeep_interval_ms.or(below.upkeep_interval_ms),
            seal_interval_ms: self.seal_interval_ms.or(below.seal_interval_ms),
            compaction_bytes_per_second: self
                .compaction_bytes_per_second
                .or(below.compaction_bytes_per_second),
            compaction_key_bytes: self.compaction_key_bytes.or(below.compaction_key_bytes),
            seal_bytes_per_second: self.seal_bytes_per_second.or(below.seal_bytes_per_second),
            group_initial_rebalance_delay_ms: self
                .group_initial_rebalance_delay_ms
                .or(below.group_initial_rebalance_delay_ms),
            group_consumer_session_timeout_ms: self
                .group_consumer_session_timeout_ms
                .or(below.group_consumer_session_timeout_ms),
            group_consumer_heartbeat_interval_ms: self
                .group_consumer_heartbeat_interval_ms
                .or(below.group_consumer_heartbeat_interval_ms),
        }
    }

    /// Reads the file that `--config` names, or `factum.toml` if it is there.
    ///
    /// # Errors
    /// [`ConfigError`] with the file, and for what it says the line and the key.
    pub fn from_file(named: Option<&Path>) -> Result<Self, ConfigError> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let failed = |source| ConfigError::Read { path: path.to_owned(), source };
        match fs::metadata(path) {
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(failed(error)),
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
                return Err(ConfigError::FileTooLarge { path: path.to_owned() });
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        Self::from_toml(path, &text)
    }

    fn from_toml(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source: Box::new(source) })
    }

    /// Fills in the defaults and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`] that names the setting.
    pub fn resolve(self) -> Result<ServeConfig, ConfigError> {
        let listeners = self.kafka_listeners()?;
        let tls = security::tls(&self, &listeners)?;
        let sasl = security::sasl(&self, &listeners)?;
        let http = self.http_address()?;
        let bytes = |size: Option<ByteSize>, default_mib: u64| {
            size.map_or(default_mib * MIB, ByteSize::get)
        };
        Ok(ServeConfig {
            data: self.data.unwrap_or_else(|| PathBuf::from("./data")),
            listeners,
            http,
            http_tls: self
                .http_tls
                .unwrap_or(false)
                .then(|| self.tls_client_auth.unwrap_or_default()),
            tls,
            sasl,
            admin_password: self.admin_password.filter(|secret| !secret.reveal().is_empty()),
            journal_bytes: in_range("journal_bytes", bytes(self.journal_bytes, 128), MIB)?,
            queue_bytes: memory("queue_bytes", bytes(self.queue_bytes, 16))?,
            tail_bytes: memory("tail_bytes", bytes(self.tail_bytes, 32))?,
            access_control: self.access_control.unwrap_or(false),
            allow_everyone_if_no_acl_found: self.allow_everyone_if_no_acl_found.unwrap_or(false),
            super_users: self.super_users.unwrap_or_default().into_iter().collect(),
            default_partitions: partitions(self.default_partitions.unwrap_or(1))?,
            auto_create_topics: self.auto_create_topics.unwrap_or(true),
            upkeep_interval: interval("upkeep_interval_ms", self.upkeep_interval_ms, 5000)?,
            seal_interval: interval("seal_interval_ms", self.seal_interval_ms, 60_000)?,
            compaction_bytes_per_second: in_range(
                "compaction_bytes_per_second",
                bytes(self.compaction_bytes_per_second, 64),
                MIB,
            )?,
            compaction_key_bytes: memory(
                "compaction_key_bytes",
                bytes(self.compaction_key_bytes, 64),
            )?,
            seal_bytes_per_second: in_range(
                "seal_bytes_per_second",
                bytes(self.seal_bytes_per_second, 64),
                MIB,
            )?,
            group_initial_rebalance_delay: delay(self.group_initial_rebalance_delay_ms)?,
            group_consumer_session_timeout: interval(
                "group_consumer_session_timeout_ms",
                self.group_consumer_session_timeout_ms,
                45_000,
            )?,
            group_consumer_heartbeat_interval: interval(
                "group_consumer_heartbeat_interval_ms",
                self.group_consumer_heartbeat_interval_ms,
                5_000,
            )?,
        })
    }
}

impl Layer {
    /// The listener of `kafka`, or of nothing where no other is given, and all others.
    fn kafka_listeners(&self) -> Result<Vec<Listener>, ConfigError> {
        let more = self.listeners.as_deref().unwrap_or_default();
        let plain = match &self.kafka {
            None if !more.is_empty() => None,
            given => Some(ListenerLayer {
                protocol: Protocol::Plaintext,
                address: given.clone().unwrap_or_else(|| DEFAULT_KAFKA.to_owned()),
                advertise: self.advertise.clone(),
                client_auth: None,
            }),
        };
        if plain.is_none() && self.advertise.is_some() {
            return Err(ConfigError::AdvertisedByNobody);
        }
        let count = more.len();
        if count > MAX_LISTENERS {
            let (came, max) = (count as u64, MAX_LISTENERS as u64);
            return Err(ConfigError::Range { setting: "listeners", came, min: 0, max });
        }
        let named = plain.iter().map(|one| ("kafka", one));
        let all = named.chain(more.iter().map(|one| ("listeners", one)));
        all.map(|(setting, given)| self.listener(setting, given)).collect()
    }

    fn listener(
        &self,
        setting: &'static str,
        given: &ListenerLayer,
    ) -> Result<Listener, ConfigError> {
        let ListenerLayer { protocol, address, advertise, client_auth } = given;
        let default_auth = self.tls_client_auth.unwrap_or_default();
        let auth =
            if protocol.is_tls() { client_auth.unwrap_or(default_auth) } else { ClientAuth::None };
        if client_auth.is_some() && !protocol.is_tls() {
            return Err(ConfigError::CertificatesWithoutTls { protocol: *protocol });
        }
        let listener = Listener {
            protocol: *protocol,
            address: socket_address(setting, address, DEFAULT_KAFKA)?,
            advertised: advertise.as_deref().map(host_and_port).transpose()?,
            client_auth: auth,
        };
        self.must_not_expose(setting, listener.address, listener.authenticates())?;
        Ok(listener)
    }

    fn http_address(&self) -> Result<SocketAddr, ConfigError> {
        let text = self.http.as_deref().unwrap_or(DEFAULT_HTTP);
        let address = socket_address("http", text, DEFAULT_HTTP)?;
        let certificates = self.tls_client_auth == Some(ClientAuth::Required);
        self.must_not_expose("http", address, self.http_tls == Some(true) && certificates)?;
        Ok(address)
    }

    /// Who can be reached from other machines must know who comes, unless the network is trusted.
    fn must_not_expose(
        &self,
        setting: &'static str,
        address: SocketAddr,
        authenticates: bool,
    ) -> Result<(), ConfigError> {
        let insecure = self.insecure_listen.unwrap_or(false);
        if authenticates || insecure || address.ip().to_canonical().is_loopback() {
            Ok(())
        } else {
            Err(ConfigError::Exposed { setting, address })
        }
    }
}

/// What the server runs with: every setting has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// Directory that holds the log.
    pub data: PathBuf,
    /// Where the Kafka door listens: one place at least.
    pub listeners: Vec<Listener>,
    /// Where the HTTP door listens.
    pub http: SocketAddr,
    /// Whether the HTTP door speaks TLS, and asks clients for a certificate then.
    pub http_tls: Option<ClientAuth>,
    /// Files and rules of TLS, where a door speaks it.
    pub tls: Option<TlsSettings>,
    /// How Kafka clients log in.
    pub sasl: SaslSettings,
    /// The password of the user admin.
    pub admin_password: Option<Secret>,
    /// Size at which a journal file is sealed.
    pub journal_bytes: u64,
    /// Appended bytes that may wait for their flush.
    pub queue_bytes: usize,
    /// Recent bytes kept in memory for readers.
    pub tail_bytes: usize,
    /// Whether rules are asked what a client may do.
    pub access_control: bool,
    /// Whether everybody may do everything with what no rule is about.
    pub allow_everyone_if_no_acl_found: bool,
    /// Who may do everything, beside the admin of the configuration.
    pub super_users: BTreeSet<Principal>,
    /// Partitions of a topic that is created without a number.
    pub default_partitions: u32,
    /// Whether a Kafka client that names a missing topic creates it.
    pub auto_create_topics: bool,
    /// How often to look for what retention and compaction ask for.
    pub upkeep_interval: Duration,
    /// How long to wait at least before a journal that is not full is sealed.
    pub seal_interval: Duration,
    /// Bytes that compaction reads in a second at most.
    pub compaction_bytes_per_second: u64,
    /// Memory for the keys of a compaction.
    pub compaction_key_bytes: usize,
    /// Bytes of full journals that are read again and sealed in a second at most.
    pub seal_bytes_per_second: u64,
    /// How long the first member of an empty consumer group waits for others.
    pub group_initial_rebalance_delay: Duration,
    /// How long a member of the consumer protocol may be silent.
    pub group_consumer_session_timeout: Duration,
    /// How long a member of the consumer protocol waits between heartbeats.
    pub group_consumer_heartbeat_interval: Duration,
}

/// A configuration that cannot be used, with what to do.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a small text.
    #[error("{} is larger than {MAX_FILE_BYTES} bytes; is it a configuration?", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file says something that is no setting, or not of its type.
    #[error("{} is not a valid configuration: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, the key, and what was expected there.
        source: Box<toml::de::Error>,
    },
    /// Not an address.
    #[error("{setting} = {came:?} is not an address; expected HOST:PORT, such as {example}")]
    Address {
        /// The setting.
        setting: &'static str,
        /// What came.
        came: String,
        /// One that works.
        example: &'static str,
    },
    /// Everyone could read and write.
    #[error(
        "{setting} = {address} can be reached from other machines, and whoever reaches it is not \
         asked who they are: everyone could read, write and delete. Listen on 127.0.0.1, ask for a \
         login (a listener sasl_ssl://…) or a certificate (ssl://…?client_auth=required), or say \
         --insecure-listen if the network itself is trusted"
    )]
    Exposed {
        /// The setting.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Something that another setting needs.
    #[error("{setting} is not set, and {needed_by} needs it")]
    Missing {
        /// The setting.
        setting: &'static str,
        /// What needs it.
        needed_by: &'static str,
    },
    /// An address that no listener is to tell.
    #[error(
        "advertise is set, but kafka is not: it belongs to that listener. Others are told of in \
         their own line, PROTOCOL://HOST:PORT?advertise=HOST:PORT"
    )]
    AdvertisedByNobody,
    /// A certificate is asked for where none can be shown.
    #[error(
        "a listener {protocol} has no TLS, so client_auth says nothing there; use ssl or sasl_ssl"
    )]
    CertificatesWithoutTls {
        /// Its protocol.
        protocol: Protocol,
    },
    /// Keys that anybody on the way could replace.
    #[error("oauth_jwks = {url} would bring the keys of logins without encryption; use https")]
    OpenKeys {
        /// The URL.
        url: String,
    },
    /// Nobody could log in.
    #[error(
        "no mechanism of sasl_mechanisms can be used on a listener {protocol}; PLAIN needs \
         sasl_ssl, unless sasl_plain_without_tls is set"
    )]
    NoMechanism {
        /// Its protocol.
        protocol: Protocol,
    },
    /// A number out of its range.
    #[error("{setting} = {came} is out of range; expected {min} to {max}")]
    Range {
        /// The setting.
        setting: &'static str,
        /// What came.
        came: u64,
        /// The smallest value.
        min: u64,
        /// The largest value.
        max: u64,
    },
}

fn socket_address(
    setting: &'static str,
    text: &str,
    example: &'static str,
) -> Result<SocketAddr, ConfigError> {
    let invalid = || ConfigError::Address { setting, came: text.to_owned(), example };
    text.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(invalid)
}

fn host_and_port(text: &str) -> Result<(String, u16), ConfigError> {
    let invalid = || ConfigError::Address {
        setting: "advertise",
        came: text.to_owned(),
        example: "factum.example:9092",
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
    let host = host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?;
    if host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
        return Err(invalid());
    }
    Ok((host.to_owned(), port))
}

fn in_range(setting: &'static str, came: u64, min: u64) -> Result<u64, ConfigError> {
    // Positions in a journal stay far from where arithmetic could overflow.
    let max = 1 << 40;
    if (min..=max).contains(&came) {
        Ok(came)
    } else {
        Err(ConfigError::Range { setting, came, min, max })
    }
}

fn memory(setting: &'static str, came: u64) -> Result<usize, ConfigError> {
    let came = in_range(setting, came, MIB)?;
    usize::try_from(came).map_err(|_| ConfigError::Range {
        setting,
        came,
        min: MIB,
        max: u64::from(u32::MAX),
    })
}

fn partitions(came: u32) -> Result<u32, ConfigError> {
    let max = 10_000;
    if (1..=max).contains(&came) {
        return Ok(came);
    }
    let (came, max) = (u64::from(came), u64::from(max));
    Err(ConfigError::Range { setting: "default_partitions", came, min: 1, max })
}

/// A time between two looks: never none, so that nothing runs without a pause.
fn interval(
    setting: &'static str,
    given: Option<u64>,
    default_ms: u64,
) -> Result<Duration, ConfigError> {
    let (came, min, max) = (given.unwrap_or(default_ms), 10, 86_400_000);
    if (min..=max).contains(&came) {
        return Ok(Duration::from_millis(came));
    }
    Err(ConfigError::Range { setting, came, min, max })
}

fn delay(given: Option<u64>) -> Result<Duration, ConfigError> {
    let (came, max) = (given.unwrap_or(3000), 300_000);
    if came > max {
        let setting = "group_initial_rebalance_delay_ms";
        return Err(ConfigError::Range { setting, came, min: 0, max });
    }
    Ok(Duration::from_millis(came))
}
