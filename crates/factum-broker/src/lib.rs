//! The machine without sockets: topics, producers and consumer groups on the embedded log.
//!
//! [`Broker`] is what doors talk to. The Kafka door uses it as it is, with record batches;
//! everything else uses it as an [`EventLog`](factum_event::EventLog).
//!
//! What exists (topics, producer ids, committed offsets, transactions) is a fold over three of its
//! own topics, [`CONTROL_TOPIC`], [`OFFSETS_TOPIC`] and [`TRANSACTIONS_TOPIC`]; what producers
//! wrote is a fold over batch headers.
//! It has no runtime: its futures run anywhere, and deadlines have a thread of their own.

mod access;
mod admin;
mod admission;
mod broker;
pub mod broker_config;
mod checkpoint;
pub mod cleaner;
mod commits;
mod control;
mod control_checkpoint;
mod copies;
mod errors;
mod event_log;
mod fold;
mod group_config;
mod group_info;
mod group_topics;
pub mod groups;
mod locate;
mod member;
mod mutants;
mod offsets;
mod produce;
mod producer_ids;
mod producer_state;
mod records;
mod settings;
mod stepped;
mod ticker;
mod topic;
pub mod topic_config;
mod transactions;
mod upkeep;
mod view;

pub use access::{AccessCounts, AccessLimits, AccessSettings, GuardedLog, QuotaShare};
pub use admin::AdminError;
pub use broker::{Broker, BrokerOpenError};
pub use commits::{Commit, CommitError};
pub use control::{CONTROL_TOPIC, CONTROL_TOPIC_ID, UnknownChange, created_topic, own_topic};
pub use fold::FoldError;
pub use group_config::{GroupSetting, InvalidGroupConfig};
pub use locate::{LocateError, UNPACKED_LIMIT};
pub use mutants::BrokerMutant;
pub use offsets::{
    CommitKey, Committed, MAX_METADATA_BYTES, OFFSETS_TOPIC, OFFSETS_TOPIC_ID, UnknownCommit,
};
pub use produce::{Pending, ProduceError, Produced};
pub use producer_state::{ActiveProducer, SequenceError};
pub use settings::BrokerSettings;
pub use stepped::{BrokerWorker, BrokerWorkers, Pause};
pub use topic::Topic;
pub use topic_config::TopicSettings;
pub use transactions::{
    AbortedTransaction, InvalidTransactionalId, Producer, RefusedTransaction, TRANSACTIONS_TOPIC,
    TRANSACTIONS_TOPIC_ID, TransactionError, TransactionMetrics, TransactionPartition,
    TransactionProtocol, TransactionState, TransactionStatus, TransactionalId, UnknownTransaction,
};
pub use upkeep::UpkeepMetrics;
