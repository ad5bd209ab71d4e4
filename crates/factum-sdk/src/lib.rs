//! Factum in your program: a durable log of events, without a server.
//!
//! ```
//! use factum_sdk::{Event, Factum, Place};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path();
//! # pollster::block_on(async {
//! let factum = Factum::open(path)?;
//! factum.create_topic("orders", 4).await?;
//!
//! // Publishing answers once the event is on the disk.
//! let placed = Event::builder("/services/shop", "com.example.OrderPlaced")
//!     .subject("order-17")
//!     .correlationid("order-17")
//!     .json(&serde_json::json!({ "total": 42 }));
//! let placed = factum.publish("orders", placed).await?;
//!
//! // What follows from an event carries its correlation id, and its id as the cause.
//! let paid = Event::builder("/services/payment", "com.example.PaymentProcessed");
//! factum.because_of(&placed.event).publish("orders", paid.subject("order-17")).await?;
//!
//! // Read what is there …
//! let mut story = factum.read("orders", Place::Start).await?;
//! let mut types = Vec::new();
//! while let Some(stored) = story.next().await? {
//!     types.push(stored.event.event_type().to_owned());
//! }
//! assert_eq!(types, ["com.example.OrderPlaced", "com.example.PaymentProcessed"]);
//!
//! // … or as a member of a group, which goes on where it was, also after a restart.
//! let mut billing = factum.join("billing", ["orders"]).await?;
//! let events = billing.next().await?;
//! assert_eq!(events.len(), 2);
//! billing.commit().await?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })
//! # }
//! ```
//!
//! Nothing here needs a particular async runtime. The log has threads of its own; a directory
//! belongs to one [`Factum`] at a time.

mod consumer;
mod reader;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use factum_broker::groups::GroupSettings;
use factum_broker::{Broker, BrokerOpenError, BrokerSettings};
use factum_event::event::{EventBuilder, EventError, EventIds, kafka};
use factum_event::log::{NewTopic, Start, TopicInfo};
use factum_event::record::Outgoing;
use factum_event::{Clock, EventLog, InvalidName, SystemClock};
use factum_log::OsDisk;
use thiserror::Error;

pub use consumer::Consumer;
pub use factum_event::event::StoredEvent;
pub use factum_event::{Event, GroupName, LogError, Offset, Partition, Place, Position, TopicName};
pub use reader::{Follower, Reader};

/// A log of events. Cheap to clone; all clones are the same log.
#[derive(Clone)]
pub struct Factum {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    ids: Arc<EventIds>,
}

/// Why something did not work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory cannot be used.
    #[error("cannot use the data directory: {0}")]
    Directory(#[from] std::io::Error),
    /// The log in the directory does not open.
    #[error(transparent)]
    Open(#[from] BrokerOpenError),
    /// A name that breaks its rule.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Not a valid event.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The log refused or failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Factum {
    /// Opens the log in a directory, or makes a new one there; blocks while it recovers.
    ///
    /// # Errors
    /// [`Error::Directory`], [`Error::Open`]: in use by another process, written by a newer
    /// version, or damaged.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let disk = Arc::new(OsDisk::new(directory.as_ref())?);
        // Members here are one program: there is nobody to wait for.
        let groups =
            GroupSettings { initial_rebalance_delay: Duration::ZERO, ..Default::default() };
        let settings = BrokerSettings { groups, ..Default::default() };
        let (broker, _) = Broker::open(disk, Arc::clone(&clock), settings)?;
        Ok(Self::on(Arc::new(broker), clock))
    }

    /// The same interface on any log.
    #[must_use]
    pub fn on(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock, ids: Arc::new(EventIds::new()) }
    }

    /// The log below, for administration: topics, partitions, groups.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// [`LogError::TopicExists`], [`LogError::InvalidRequest`].
    pub async fn create_topic(&self, name: &str, partitions: u32) -> Result<TopicInfo, Error> {
        let name = TopicName::new(name)?;
        let topic = NewTopic { partitions: Some(partitions), ..NewTopic::named(name) };
        Ok(self.log.create_topic(topic).await?)
    }

    /// Publishes an event, and answers once it is on the disk. An id and a time are given to it,
    /// if it has none; its partition is that of its partition key, else of its subject.
    ///
    /// # Errors
    /// [`Error::Event`] where it is not valid, [`LogError`] where it was not appended.
    pub async fn publish(&self, topic: &str, event: EventBuilder) -> Result<StoredEvent, Error> {
        let mut published = self.publish_all(topic, [event]).await?;
        Ok(published.pop().expect("one event was published"))
    }

    /// Publishes events, and answers once all are on the disk, in their order.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); an event that is not valid or too large refuses all.
    pub async fn publish_all(
        &self,
        topic: &str,
        events: impl IntoIterator<Item = EventBuilder>,
    ) -> Result<Vec<StoredEvent>, Error> {
        let topic = TopicName::new(topic)?;
        let now = self.clock.now();
        let stamp = |event: EventBuilder| event.stamp(&self.ids, now).build();
        let events = events.into_iter().map(stamp).collect::<Result<Vec<_>, _>>()?;
        let record = |event| Outgoing::from(kafka::encode(event, kafka::Mode::Binary, now));
        let positions = self.log.append(&topic, events.iter().map(record).collect()).await?;
        let stored = events.into_iter().zip(positions);
        Ok(stored
            .map(|(event, position)| StoredEvent { position, appended_at: now, event })
            .collect())
    }

    /// Publishes what follows from an event: see [`Consequences`].
    #[must_use]
    pub fn because_of(&self, cause: &Event) -> Consequences {
        Consequences { factum: self.clone(), cause: cause.clone() }
    }

    /// Reads a topic from a place to its end as it is now, partition by partition.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    pub async fn read(&self, topic: &str, from: Place) -> Result<Reader, Error> {
        Reader::open(Arc::clone(&self.log), TopicName::new(topic)?, from).await
    }

    /// Follows a topic from a place on: waits for what comes.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    pub async fn follow(&self, topic: &str, from: Place) -> Result<Follower, Error> {
        Follower::open(Arc::clone(&self.log), TopicName::new(topic)?, from).await
    }

    /// Joins a consumer group, which shares the partitions of the topics among its members,
    /// Kafka clients included, and remembers how far it has come. A new group begins at the start.
    ///
    /// # Errors
    /// [`Error::Name`]; [`LogError::InvalidRequest`] where the group speaks another protocol.
    pub async fn join<'a>(
        &self,
        group: &str,
        topics: impl IntoIterator<Item = &'a str>,
    ) -> Result<Consumer, Error> {
        let group = GroupName::new(group)?;
        let topics = topics.into_iter().map(TopicName::new).collect::<Result<Vec<_>, _>>()?;
        let member = self.log.join(&group, topics, Start::Earliest).await?;
        Ok(Consumer::new(self.clone(), member))
    }
}

/// Publishes what follows from one event: each carries its correlation id (or its id, if it has
/// none), and its id as the causation id, where the publisher does not set them.
#[derive(Clone)]
pub struct Consequences {
    factum: Factum,
    cause: Event,
}

impl Consequences {
    /// Publishes an event, as [`Factum::publish`].
    ///
    /// # Errors
    /// As [`Factum::publish`].
    pub async fn publish(&self, topic: &str, event: EventBuilder) -> Result<StoredEvent, Error> {
        self.factum.publish(topic, event.caused_by(&self.cause)).await
    }
}
