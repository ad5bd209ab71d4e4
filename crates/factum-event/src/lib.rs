//! The vocabulary of Factum: what every room above speaks.
//!
//! * [`name`], [`position`]: names and places in a log, each a type of its own, so that an
//!   offset cannot be taken for a partition, nor an unchecked string for a topic.
//! * [`record`]: a Kafka record, the unit that the log keeps.
//! * [`batch`]: Kafka's record batch v2, the bytes that socket and disk share.
//! * [`event`]: the CloudEvents 1.0.2 envelope and its bindings to JSON, HTTP and Kafka.
//! * [`log`]: [`EventLog`], the one trait that everything above the log talks to.
//! * [`access`]: principals, resources, operations and the rules about them.
//! * [`clock`]: the only door to the wall clock.
//!
//! Everything here is pure: no runtime, no file, no socket. Time comes in as an argument.

pub mod access;
pub mod batch;
pub mod clock;
pub mod event;
pub mod lint;
pub mod log;
pub mod name;
pub mod partitioner;
pub mod position;
pub mod record;

pub use clock::{Clock, SystemClock};
pub use event::Event;
pub use log::{BoxFuture, EventLog, LogError};
pub use name::{GroupName, InvalidName, TopicName};
pub use position::{Offset, Partition, Place, Position, Timestamp, TopicId};
pub use record::{Header, Record, StoredRecord};
