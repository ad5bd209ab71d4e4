//! The broker: opening it, and what its parts share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use factum_event::batch::Outcome;
use factum_event::event::EventIds;
use factum_event::{Clock, Offset, Partition, Timestamp, TopicId, TopicName};
use factum_log::disk::Disk;
use factum_log::{BatchEntry, Extent, Log, OpenError, PartitionId, ReadError, Recovery};
use thiserror::Error;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use crate::access::AccessState;
use crate::admin::AdminError;
use crate::broker_config::BrokerConfigs;
use crate::checkpoint::{Checkpoint, KnownPartition};
use crate::control::{self, CONTROL_TOPIC, CONTROL_TOPIC_ID};
use crate::control_checkpoint::{ControlCheckpoint, ControlState};
use crate::fold::{Fold, FoldError};
use crate::group_config::GroupConfigs;
use crate::groups::Groups;
use crate::mutants::BrokerMutant;
use crate::offsets::{self, CommittedOffsets, OFFSETS_TOPIC, OFFSETS_TOPIC_ID};
use crate::produce::ProduceError;
use crate::producer_ids::ProducerIds;
use crate::records::{Cuts, Cutter};
use crate::settings::BrokerSettings;
use crate::stepped::{BrokerWorkers, drive};
use crate::ticker::Ticker;
use crate::topic::{Topic, TopicPartition, Topics};
use crate::topic_config::Configs;
use crate::transactions::{
    Coordinator, PartitionTransactions, RecoverError, TRANSACTIONS_TOPIC, TRANSACTIONS_TOPIC_ID,
};
use crate::upkeep::{Upkeep, UpkeepCounters, UpkeepMetrics, UpkeepThread};

/// Batches whose entries are read in one piece when producers' states are computed.
const REPLAYED_AT_ONCE: usize = 4096;

/// Settings by name and value.
type Settings = &'static [(&'static str, &'static str)];

/// Factum's own topics with their settings: changes are kept for ever, of offsets and transactions
/// the last. These are small; in segments of the default size they would never be compacted. The
/// state of one transaction names all its partitions and offsets.
const OWN_TOPICS: [(&str, TopicId, Settings); 3] = [
    (CONTROL_TOPIC, CONTROL_TOPIC_ID, &[("retention.ms", "-1")]),
    (
        OFFSETS_TOPIC,
        OFFSETS_TOPIC_ID,
        &[("cleanup.policy", "compact"), ("segment.bytes", "16777216")],
    ),
    (
        TRANSACTIONS_TOPIC,
        TRANSACTIONS_TOPIC_ID,
        &[
            ("cleanup.policy", "compact"),
            ("segment.bytes", "16777216"),
            ("max.message.bytes", "16777216"),
        ],
    ),
];

/// The machine without sockets: topics, producers and groups on the embedded log.
///
/// Cheap to clone; all clones are the same broker. It is closed when the last one is dropped.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("cluster_id", &self.cluster_id()).finish_non_exhaustive()
    }
}

struct Inner {
    // They stop before what they work on goes; a broker that is stepped has none.
    threads: OnceLock<Threads>,
    upkeep: OnceLock<UpkeepThread>,
    upkeep_counters: Arc<UpkeepCounters>,
    log: Log,
    clock: Arc<dyn Clock>,
    settings: BrokerSettings,
    mutant: BrokerMutant,
    /// Held while a change is decided, appended and applied: changes come one after another.
    changes: Mutex<()>,
    control: ControlState,
    offsets: CommittedOffsets,
    offsets_fold: Fold,
    coordinator: Arc<Coordinator>,
    event_ids: EventIds,
    groups: Arc<Groups>,
    /// Counts changes of topics, for whoever assigns their partitions.
    topic_changes: watch::Sender<u64>,
    /// The turn among partitions of what has no key.
    turn: AtomicU32,
}

struct Threads {
    _ticker: Ticker,
    _cutter: Cutter,
}

/// Why a broker does not open.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BrokerOpenError {
    /// The log does not open.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// Factum's own topics cannot be read.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A new log could not be given its name.
    #[error(transparent)]
    Create(#[from] Box<AdminError>),
    /// What a transaction has decided cannot be written.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

impl From<RecoverError> for BrokerOpenError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Fold(error) => Self::Fold(error),
            RecoverError::Produce(error) => Self::Produce(error),
        }
    }
}

impl Broker {
    /// Opens the broker whose log is on `disk`, or makes a new one there; blocks while it
    /// recovers. Says what recovery found.
    ///
    /// # Errors
    /// [`BrokerOpenError`]; nothing was changed then, except that a torn tail may have been cut.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: BrokerSettings,
    ) -> Result<(Self, Recovery), BrokerOpenError> {
        let (broker, upkeep, recovery) = Self::open_without_upkeep(disk, clock, settings)?;
        let thread = UpkeepThread::start(upkeep, broker.settings().upkeep_interval)
            .map_err(BrokerOpenError::Thread)?;
        let _ = broker.inner.upkeep.set(thread);
        Ok((broker, recovery))
    }

    /// As [`open`](Self::open), but the upkeep is for the caller to do.
    pub(crate) fn open_without_upkeep(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: BrokerSettings,
    ) -> Result<(Self, Upkeep, Recovery), BrokerOpenError> {
        let (log, recovery) = Log::open(Arc::clone(&disk), Arc::clone(&clock), settings.log)?;
        let groups = Groups::new(settings.groups.clone());
        let broker = Self::new(log, clock, settings, EventIds::new(), groups, BrokerMutant::None);
        let read = pollster::block_on(broker.recover(disk.as_ref()))?;
        let threads = broker.start().map_err(BrokerOpenError::Thread)?;
        let _ = broker.inner.threads.set(threads);
        let upkeep = broker.upkeep(disk, read);
        Ok((broker, upkeep, recovery))
    }

    /// As [`open`](Self::open), but without threads: what they would do is done by the steps of
    /// the [`BrokerWorkers`]. With the same disk, clock, settings and order of calls everything
    /// is the same.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_stepped(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: BrokerSettings,
    ) -> Result<(Self, BrokerWorkers, Recovery), BrokerOpenError> {
        Self::open_mutant(disk, clock, settings, BrokerMutant::None)
    }

    /// As [`open_stepped`](Self::open_stepped), broken on purpose.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[doc(hidden)]
    pub fn open_mutant(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: BrokerSettings,
        mutant: BrokerMutant,
    ) -> Result<(Self, BrokerWorkers, Recovery), BrokerOpenError> {
        let ids = EventIds::seeded(disk.random());
        let mut members = u128::from(disk.random());
        let groups = Groups::with_ids(settings.groups.clone(), move || {
            members += 1;
            Uuid::from_u128(members)
        });
        let (of_log, log_settings) = (mutant.of_log(), settings.log);
        let (log, mut workers, recovery) =
            Log::open_mutant(Arc::clone(&disk), Arc::clone(&clock), log_settings, of_log)?;
        let broker = Self::new(log, clock, settings, ids, groups, mutant);
        let read = drive(&mut workers, broker.recover(disk.as_ref()))?;
        let upkeep = broker.upkeep(disk, read);
        let Inner { log, clock, control, groups, .. } = &*broker.inner;
        let (log, clock) = (log.clone(), Arc::clone(clock));
        let (cuts, groups) = (Arc::clone(&control.cuts), Arc::clone(groups));
        let steps = BrokerWorkers { workers, upkeep, log, clock, cuts, groups };
        Ok((broker, steps, recovery))
    }

    fn new(
        log: Log,
        clock: Arc<dyn Clock>,
        settings: BrokerSettings,
        ids: EventIds,
        groups: Groups,
        mutant: BrokerMutant,
    ) -> Self {
        let control = ControlState::new();
        let topics = Arc::clone(&control.topics);
        let coordinator = Arc::new(Coordinator::new(log.clone(), Arc::clone(&clock), topics));
        let inner = Inner {
            threads: OnceLock::new(),
            upkeep: OnceLock::new(),
            upkeep_counters: Arc::default(),
            log,
            clock,
            settings,
            mutant,
            changes: Mutex::new(()),
            control,
            offsets: CommittedOffsets::default(),
            offsets_fold: Fold::new(first_partition(OFFSETS_TOPIC_ID)),
            coordinator,
            event_ids: ids,
            groups: Arc::new(groups),
            topic_changes: watch::Sender::new(0),
            turn: AtomicU32::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    fn start(&self) -> std::io::Result<Threads> {
        let Inner { groups, clock, control, log, .. } = &*self.inner;
        Ok(Threads {
            _ticker: Ticker::start(Arc::clone(groups), Arc::clone(clock))?,
            _cutter: Cutter::start(Arc::clone(&control.cuts), log.clone())?,
        })
    }

    fn upkeep(&self, disk: Arc<dyn Disk>, read: u64) -> Upkeep {
        let Inner { log, control, clock, settings, upkeep_counters, mutant, coordinator, .. } =
            &*self.inner;
        let counters = Arc::clone(upkeep_counters);
        let (state, clock) = (control.clone(), Arc::clone(clock));
        let transactions = Arc::clone(coordinator);
        let upkeep =
            Upkeep::new(disk, log.clone(), (state, transactions), clock, settings, counters);
        upkeep.after(read).broken(*mutant)
    }

    /// Computes all state from the log; answers how many batches it read for that which a
    /// checkpoint could have known.
    async fn recover(&self, disk: &dyn Disk) -> Result<u64, BrokerOpenError> {
        for (name, id, configs) in OWN_TOPICS {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let configs = configs.iter().map(own).collect();
            let name = TopicName::new(name).expect("a constant that is a topic name");
            let created_at = Timestamp::from_millis(0);
            self.topics().put(Topic::new(name, id, created_at, 1, (configs, &Configs::new())));
        }
        let mut read = self.recover_control(disk).await?;
        self.cuts().make(self.log());
        if self.inner.control.cluster_id.get().is_none() {
            self.create_cluster().await.map_err(Box::new)?;
        }
        self.producer_ids().after_restart();
        read += self.recover_partitions(disk)?;
        self.recover_transactions().await?;
        self.apply_commits().await?;
        self.offsets().retain_topics(|id| self.topics().by_id(id).is_some());
        Ok(read)
    }

    /// Applies what a checkpoint knows of control events, and then those after it.
    async fn recover_control(&self, disk: &dyn Disk) -> Result<u64, FoldError> {
        let control = &self.inner.control;
        if let Some(known) = ControlCheckpoint::read(disk, self.log()) {
            control.fold.skip_to(known.next).await;
            known.changes.into_iter().for_each(|known| self.apply_change(known.change, known.at));
        }
        let known = control.fold.at_rest(|next| next);
        self.apply_changes().await?;
        Ok(u64::from(control.fold.at_rest(|next| next) != known))
    }

    /// Computes the producers' state, and removes what the log still has of deleted topics.
    fn recover_partitions(&self, disk: &dyn Disk) -> Result<u64, BrokerOpenError> {
        let mut read = 0;
        let mut known = Checkpoint::read(disk).unwrap_or_default().partitions;
        let mut gone = BTreeSet::new();
        for at in self.log().partitions() {
            let topic = self.topics().by_id(at.topic);
            match topic.as_ref().and_then(|topic| topic.partition(at.partition)) {
                Some(partition) => read += self.replay_producers(partition, known.remove(&at))?,
                None => drop(gone.insert(at.topic)),
            }
        }
        for topic in gone {
            self.log().remove_topic(topic);
        }
        Ok(read)
    }

    /// Computes who wrote to a partition, and in which transactions, from what a checkpoint knows
    /// and the batches after it; answers how many these are.
    fn replay_producers(
        &self,
        partition: &TopicPartition,
        known: Option<KnownPartition>,
    ) -> Result<u64, BrokerOpenError> {
        if !self.mutant().remembers_producers() {
            return Ok(0);
        }
        let Extent { start, end } = self.log().extent(partition.id);
        // A checkpoint of more than there is belongs to another log. One of before the start does
        // not know what was cut off after it: by its sequences, live producers would be refused.
        let fits = |known: &KnownPartition| (start..=end).contains(&known.end);
        let known = known.filter(fits).unwrap_or_else(|| KnownPartition::nothing_before(start));
        let (mut next, mut read) = (known.end, 0);
        {
            let mut gate = partition.gate.lock();
            gate.producers = known.producers;
            let transactions = self.without_cleaned(partition.id, known.transactions)?;
            gate.transactions = self.without_cut_off(partition.id, start, transactions)?;
        }
        loop {
            let entries = self.log().entries(partition.id, next, REPLAYED_AT_ONCE)?;
            let Some(last) = entries.last() else { return Ok(read) };
            read += entries.len() as u64;
            next = last.next_offset();
            for entry in &entries {
                self.replay(partition, entry)?;
            }
        }
    }

    fn replay(
        &self,
        partition: &TopicPartition,
        entry: &BatchEntry,
    ) -> Result<(), BrokerOpenError> {
        let attributes = entry.attributes();
        let outcome = match attributes.is_control() {
            true => self.outcome_at(partition.id, entry.base_offset)?,
            false => None,
        };
        let mut gate = partition.gate.lock();
        gate.producers.replay(entry);
        match outcome {
            Some(outcome) => gate.transactions.ended(entry.producer_id, entry.base_offset, outcome),
            None if attributes.is_transactional() && !attributes.is_control() => {
                gate.transactions.wrote(entry.producer_id, entry.base_offset, entry.next_offset());
            }
            None => {}
        }
        Ok(())
    }

    /// How the marker at an offset says that a transaction ended.
    fn outcome_at(
        &self,
        id: PartitionId,
        offset: Offset,
    ) -> Result<Option<Outcome>, BrokerOpenError> {
        let read = self.log().read_blocking(id, offset, 1)?;
        let Some(stored) = read.first() else { return Ok(None) };
        let outcome = stored.to_batch().and_then(|batch| batch.outcome());
        Ok(outcome.unwrap_or_else(|error| {
            // One batch that nobody understands is no reason to keep all others from their readers.
            tracing::error!(partition = ?id, %offset, %error, "a control batch is not understood");
            None
        }))
    }

    /// What a checkpoint knows, but for aborted transactions whose markers compaction has removed
    /// since: nothing of them is left, and a reader that is told of them takes what the same
    /// producer wrote later for aborted.
    fn without_cleaned(
        &self,
        id: PartitionId,
        mut known: PartitionTransactions,
    ) -> Result<PartitionTransactions, ReadError> {
        // Also where the cleaning had too little memory for all of it.
        let suspects = known.aborted(Offset::ZERO, self.log().replaced_end(id));
        let mut gone = BTreeSet::new();
        for marker in suspects.iter().map(|aborted| aborted.marker) {
            let found = self.log().entries(id, marker, 1)?;
            if found.first().is_none_or(|entry| entry.base_offset != marker) {
                gone.insert(marker);
            }
        }
        known.forget(|marker| gone.contains(&marker));
        Ok(known)
    }

    /// What a checkpoint knows, but for what was cut off: an open transaction begins with its first
    /// batch that is left, as for who has no checkpoint.
    fn without_cut_off(
        &self,
        id: PartitionId,
        start: Offset,
        mut known: PartitionTransactions,
    ) -> Result<PartitionTransactions, ReadError> {
        known.cut_off(start);
        let begun = known.open().filter(|(_, first)| *first < start);
        let mut sought: BTreeSet<i64> = begun.map(|(producer_id, _)| producer_id).collect();
        let mut next = start;
        while !sought.is_empty() {
            let entries = self.log().entries(id, next, REPLAYED_AT_ONCE)?;
            let Some(last) = entries.last() else { break };
            next = last.next_offset();
            for entry in entries.iter().filter(|entry| entry.attributes().is_transactional()) {
                if sought.remove(&entry.producer_id) {
                    known.begins_at(entry.producer_id, entry.base_offset);
                }
            }
        }
        Ok(known)
    }

    /// Applies the control events that were appended since the last time.
    pub(crate) async fn apply_changes(&self) -> Result<(), FoldError> {
        let apply = |offset: Offset, record: &_| {
            self.apply_change(control::decode(offset, record)?, record.timestamp);
            Ok(())
        };
        self.inner.control.fold.catch_up(self.log(), apply).await
    }

    /// Applies the commits that were appended since the last time.
    pub(crate) async fn apply_commits(&self) -> Result<(), FoldError> {
        let apply = |offset: Offset, record: &_| {
            let alive = |id| self.topics().by_id(id).is_some();
            self.offsets().apply(offsets::decode(offset, record)?, alive);
            Ok(())
        };
        self.inner.offsets_fold.catch_up(self.log(), apply).await
    }

    /// A topic by its name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics().by_name(name)
    }

    /// A topic by its identity.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<Arc<Topic>> {
        self.topics().by_id(id)
    }

    /// All topics, by name.
    #[must_use]
    pub fn all_topics(&self) -> Vec<Arc<Topic>> {
        self.topics().all()
    }

    /// Flushes what is queued and closes the log; further appends and reads are refused. A
    /// checkpoint is written first, so that the next opening need not read what this one knows.
    pub fn close(&self) {
        if let Some(upkeep) = self.inner.upkeep.get() {
            upkeep.stop();
        }
        self.log().close();
    }

    /// The name of this log as a cluster, the same for as long as its data lives.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        self.inner.control.cluster_id.get().map_or("", String::as_str)
    }

    pub(crate) fn name_cluster(&self, id: String) {
        // Named once; a second name would be a second log's.
        let _ = self.inner.control.cluster_id.set(id);
    }

    pub(crate) fn coordinator(&self) -> &Coordinator {
        &self.inner.coordinator
    }

    /// The log below.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.inner.log
    }

    /// The clock that the broker was given.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The settings that the broker was given.
    #[must_use]
    pub fn settings(&self) -> &BrokerSettings {
        &self.inner.settings
    }

    /// What retention and compaction have done since the broker was opened.
    #[must_use]
    pub fn upkeep_metrics(&self) -> UpkeepMetrics {
        self.inner.upkeep_counters.read()
    }

    /// Memberships of consumer groups.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.inner.groups
    }

    /// Changes whenever a topic is created, grown or deleted.
    pub(crate) fn topic_changes(&self) -> watch::Receiver<u64> {
        self.inner.topic_changes.subscribe()
    }

    /// Has retention and compaction look now.
    pub(crate) fn look_after(&self) {
        if let Some(upkeep) = self.inner.upkeep.get() {
            upkeep.wake();
        }
    }

    pub(crate) fn topics_changed(&self) {
        self.inner.topic_changes.send_modify(|changes| *changes += 1);
    }

    /// The partition for records without a key: another one at each call.
    pub(crate) fn next_partition(&self, topic: &Topic) -> Partition {
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        let partition = turn.checked_rem(topic.partition_count()).unwrap_or(0);
        i32::try_from(partition).ok().and_then(Partition::new).unwrap_or(Partition::ZERO)
    }

    pub(crate) fn topics(&self) -> &Topics {
        &self.inner.control.topics
    }

    pub(crate) fn changes(&self) -> &Mutex<()> {
        &self.inner.changes
    }

    pub(crate) fn cuts(&self) -> &Cuts {
        &self.inner.control.cuts
    }

    pub(crate) fn mutant(&self) -> BrokerMutant {
        self.inner.mutant
    }

    pub(crate) fn offsets(&self) -> &CommittedOffsets {
        &self.inner.offsets
    }

    pub(crate) fn event_ids(&self) -> &EventIds {
        &self.inner.event_ids
    }

    pub(crate) fn broker_configs(&self) -> &BrokerConfigs {
        &self.inner.control.broker_configs
    }

    pub(crate) fn group_configs(&self) -> &GroupConfigs {
        &self.inner.control.group_configs
    }

    pub(crate) fn access_state(&self) -> &AccessState {
        &self.inner.control.access
    }

    pub(crate) fn producer_ids(&self) -> &ProducerIds {
        &self.inner.control.producer_ids
    }
}

/// The only partition of one of Factum's own topics.
pub(crate) const fn first_partition(topic: TopicId) -> PartitionId {
    PartitionId { topic, partition: Partition::ZERO }
}
