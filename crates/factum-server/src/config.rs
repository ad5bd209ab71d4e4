//! Configuration of `factum serve`, in three forms.
//!
//! * *Given*: a file, environment variables and flags, each setting under one name in three
//!   spellings (`queue_bytes`, `FACTUM_QUEUE_BYTES`, `--queue-bytes`).
//! * [`Layer`]: what one of them says; every setting optional, every value already of its type.
//! * [`ServeConfig`]: every setting with its value, checked as a whole.
//!
//! Layers rise: defaults, `factum.toml`, environment, flags. Nothing here opens a socket or
//! creates a file.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use factum_event::access::Principal;
use serde::Deserialize;
use thiserror::Error;

use crate::byte_size::ByteSize;

/// The file that is read from the working directory where `--config` names none.
pub const DEFAULT_FILE: &str = "factum.toml";

/// The largest configuration file: one that is larger is something else.
const MAX_FILE_BYTES: u64 = 1 << 20;

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

    /// Where Kafka clients connect; port 0 takes a free one [default: 127.0.0.1:9092]
    #[arg(long, value_name = "ADDR", env = "FACTUM_KAFKA")]
    pub kafka: Option<String>,

    /// Where HTTP clients connect; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "FACTUM_HTTP")]
    pub http: Option<String>,

    /// The address that Kafka clients are told to come back to, where it is not the one that is
    /// listened on (a container, a name in DNS)
    #[arg(long, value_name = "HOST:PORT", env = "FACTUM_ADVERTISE")]
    pub advertise: Option<String>,

    /// Listen beyond this machine although there is neither encryption nor login yet
    #[arg(long, env = "FACTUM_INSECURE_LISTEN", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pub insecure_listen: Option<bool>,

    /// Ask the rules (ACLs) what a client may do; without any, only super users may do something
    #[arg(long, env = "FACTUM_ACCESS_CONTROL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pub access_control: Option<bool>,

    /// Who may do everything, such as User:alice;User:bob
    #[arg(long, value_name = "PRINCIPALS", env = "FACTUM_SUPER_USERS", value_delimiter = ';')]
    pub super_users: Option<Vec<Principal>>,

    /// The password of the user admin, who may do everything. Flags can be seen by others: it
    /// comes from the file, or from FACTUM_ADMIN_PASSWORD.
    #[arg(skip)]
    pub(crate) admin_password: Option<Secret>,

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
            http: self.http.or(below.http),
            advertise: self.advertise.or(below.advertise),
            insecure_listen: self.insecure_listen.or(below.insecure_listen),
            access_control: self.access_control.or(below.access_control),
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
        let insecure = self.insecure_listen.unwrap_or(false);
        let bytes = |size: Option<ByteSize>, default_mib: u64| {
            size.map_or(default_mib * MIB, ByteSize::get)
        };
        Ok(ServeConfig {
            data: self.data.unwrap_or_else(|| PathBuf::from("./data")),
            kafka: listen_address("kafka", self.kafka.as_deref(), DEFAULT_KAFKA, insecure)?,
            http: listen_address("http", self.http.as_deref(), DEFAULT_HTTP, insecure)?,
            advertised: self.advertise.as_deref().map(host_and_port).transpose()?,
            journal_bytes: in_range("journal_bytes", bytes(self.journal_bytes, 128), MIB)?,
            queue_bytes: memory("queue_bytes", bytes(self.queue_bytes, 16))?,
            tail_bytes: memory("tail_bytes", bytes(self.tail_bytes, 32))?,
            access_control: self.access_control.unwrap_or(false),
            super_users: self.super_users.unwrap_or_default().into_iter().collect(),
            admin_password: self.admin_password,
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

/// What the server runs with: every setting has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// Directory that holds the log.
    pub data: PathBuf,
    /// Where the Kafka door listens.
    pub kafka: SocketAddr,
    /// Where the HTTP door listens.
    pub http: SocketAddr,
    /// What Kafka clients are told to connect to; none: the address that is listened on.
    pub advertised: Option<(String, u16)>,
    /// Size at which a journal file is sealed.
    pub journal_bytes: u64,
    /// Appended bytes that may wait for their flush.
    pub queue_bytes: usize,
    /// Recent bytes kept in memory for readers.
    pub tail_bytes: usize,
    /// Whether rules are asked what a client may do.
    pub access_control: bool,
    /// Who may do everything, beside the admin of the configuration.
    pub super_users: BTreeSet<Principal>,
    /// The password of the user admin.
    pub(crate) admin_password: Option<Secret>,
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

/// A password of the configuration. It is not printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// The password itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
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
        "{setting} = {address} can be reached from other machines, and there is no encryption or \
         login yet: everyone who reaches it could read, write and delete. Listen on 127.0.0.1, or \
         say --insecure-listen if the network itself is trusted"
    )]
    Exposed {
        /// The setting.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
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

fn listen_address(
    setting: &'static str,
    given: Option<&str>,
    default: &'static str,
    insecure: bool,
) -> Result<SocketAddr, ConfigError> {
    let text = given.unwrap_or(default);
    let invalid = || ConfigError::Address { setting, came: text.to_owned(), example: default };
    let address = text.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(invalid)?;
    if address.ip().to_canonical().is_loopback() || insecure {
        Ok(address)
    } else {
        Err(ConfigError::Exposed { setting, address })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Layer, ConfigError> {
        Layer::from_toml(Path::new("factum.toml"), text)
    }

    #[test]
    fn defaults_are_safe_without_any_source() {
        let config = Layer::default().resolve().unwrap();
        assert_eq!(config.kafka.to_string(), "127.0.0.1:9092");
        assert_eq!(config.http.to_string(), "127.0.0.1:8080");
        assert_eq!(config.data, Path::new("./data"));
        assert_eq!(config.journal_bytes, 128 << 20);
        assert!(config.auto_create_topics);
        assert_eq!(config.advertised, None);
    }

    #[test]
    fn a_layer_above_wins_where_it_says_something() {
        let below =
            file("kafka = '127.0.0.1:1'\nhttp = '127.0.0.1:2'\ntail_bytes = '1MiB'").unwrap();
        let above = Layer { kafka: Some("127.0.0.1:3".to_owned()), ..Layer::default() };
        let config = above.over(below).resolve().unwrap();
        assert_eq!((config.kafka.port(), config.http.port()), (3, 2));
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
}
