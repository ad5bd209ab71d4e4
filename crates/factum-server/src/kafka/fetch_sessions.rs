//! Fetch sessions (KIP-227): who fetches from many partitions says once which, and then only what
//! changes; it hears only of partitions that have something new.
//!
//! A session belongs to no connection. It is forgotten when somebody else needs its place and it
//! was not used for two minutes; its client then begins another one. Where there is no place, a
//! client goes on without.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use factum_wire::messages::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, FetchableTopicResponse,
    ForgottenTopic, PartitionData,
};
use factum_wire::{ErrorCode, Str};
use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use crate::metrics::Reading;

/// The most sessions (Kafka's `max.incremental.fetch.session.cache.slots`).
const MAX_SESSIONS: usize = 1000;

/// The most partitions that all sessions remember together.
const MAX_PARTITIONS: usize = 200_000;

/// The longest name that is remembered: no topic has a longer one.
const MAX_NAME_BYTES: usize = 249;

/// A session may go when it was not used for so long (Kafka's
/// `min.incremental.fetch.session.eviction.ms`).
const IDLE: Duration = Duration::from_secs(120);

/// Epoch of a request that asks for a session.
const BEGINS: i32 = 0;

/// Epoch of a request that wants none.
const WITHOUT: i32 = -1;

/// The sessions of all clients.
#[derive(Default)]
pub(super) struct FetchSessions {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<i32, Session>,
    /// How many partitions they remember together.
    partitions: usize,
}

/// What a request has to do with a session.
pub(super) enum Using {
    /// Nothing.
    Nothing,
    /// It begins one.
    New(Session),
    /// It goes on with the one of this id.
    Known(i32),
}

/// What a client fetches.
pub(super) struct Session {
    /// Whether topics are named by id.
    by_id: bool,
    /// The epoch of the next request.
    next_epoch: i32,
    used_at: Instant,
    /// By when it is their turn.
    turns: BTreeMap<u64, Remembered>,
    places: HashMap<Place, u64>,
    next_turn: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    topic: TopicKey,
    partition: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum TopicKey {
    Name(Arc<str>),
    Id(Uuid),
}

struct Remembered {
    place: Place,
    asked: FetchPartition,
    told: Option<Told>,
}

/// What a client was told of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    high_watermark: i64,
    last_stable_offset: i64,
    log_start_offset: i64,
}

impl FetchSessions {
    /// How many sessions there are, and how many partitions they remember.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
    pub(super) fn readings(&self) -> Vec<Reading> {
        let table = self.table.lock();
        let (sessions, partitions) = (table.sessions.len() as f64, table.partitions as f64);
        drop(table);
        let remembered = "Partitions that fetch sessions remember";
        vec![
            Reading::gauge("kafka_fetch_sessions", "Fetch sessions (KIP-227)", sessions),
            Reading::gauge("kafka_fetch_session_partitions", remembered, partitions),
        ]
    }

    /// Puts everything that is to be fetched into the request.
    pub(super) fn begin(
        &self,
        request: &mut FetchRequest,
        by_id: bool,
        now: Instant,
    ) -> Result<Using, ErrorCode> {
        let id = request.session_id;
        let mut table = self.table.lock();
        match request.session_epoch {
            BEGINS | WITHOUT => {
                table.remove(id);
                drop(table);
                let begins = request.session_epoch == BEGINS;
                let session = begins.then(|| Session::new(by_id, &request.topics, now)).flatten();
                Ok(session.map_or(Using::Nothing, Using::New))
            }
            epoch => {
                let session = table.sessions.get_mut(&id);
                let session = session.ok_or(ErrorCode::FetchSessionIdNotFound)?;
                if session.next_epoch != epoch {
                    return Err(ErrorCode::InvalidFetchSessionEpoch);
                }
                if session.by_id != by_id {
                    return Err(ErrorCode::FetchSessionTopicIdError);
                }
                session.used_at = now;
                session.next_epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
                let before = session.turns.len();
                session.forget(&request.forgotten_topics_data);
                let is_sound = session.take(&request.topics);
                let after = session.turns.len();
                request.topics = session.topics();
                table.partitions = table.partitions - before + after;
                if !is_sound || table.partitions > MAX_PARTITIONS {
                    table.remove(id);
                    return Err(ErrorCode::FetchSessionIdNotFound);
                }
                Ok(Using::Known(id))
            }
        }
    }

    /// Leaves out of the answer what its client knows.
    pub(super) fn end(&self, using: Using, response: &mut FetchResponse, now: Instant) {
        match using {
            Using::Nothing => {}
            Using::New(mut session) => {
                session.tell(&mut response.responses);
                response.session_id = self.table.lock().insert(session, now);
            }
            Using::Known(id) => {
                response.session_id = id;
                // One that is gone meanwhile has told nothing: its client gets everything.
                if let Some(session) = self.table.lock().sessions.get_mut(&id) {
                    session.tell_news(&mut response.responses);
                }
            }
        }
    }
}

impl Table {
    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partitions -= session.turns.len();
        }
    }

    /// Its id; 0 where it has no place.
    fn insert(&mut self, session: Session, now: Instant) -> i32 {
        let has_place = |table: &Self| {
            table.sessions.len() < MAX_SESSIONS
                && table.partitions + session.turns.len() <= MAX_PARTITIONS
        };
        while !has_place(self) {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used_at);
            match oldest.filter(|(_, session)| now.duration_since(session.used_at) > IDLE) {
                Some((id, _)) => self.remove(*id),
                None => return 0,
            }
        }
        self.partitions += session.turns.len();
        let id = self.free_id();
        self.sessions.insert(id, session);
        id
    }

    fn free_id(&self) -> i32 {
        // Ends soon: of two thousand million ids a thousand are taken.
        loop {
            // Its last bytes are random.
            let [.., a, b, c, d] = Uuid::now_v7().into_bytes();
            let id = i32::from_be_bytes([a & 0x7f, b, c, d]);
            if id > 0 && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

impl Session {
    /// A session of these partitions; none where one of them cannot be.
    fn new(by_id: bool, topics: &[FetchTopic], now: Instant) -> Option<Self> {
        let (turns, places) = (BTreeMap::new(), HashMap::new());
        let mut session = Self { by_id, next_epoch: 1, used_at: now, turns, places, next_turn: 0 };
        (session.take(topics) && session.turns.len() <= MAX_PARTITIONS).then_some(session)
    }

    fn key(&self, name: &str, id: Uuid) -> TopicKey {
        if self.by_id { TopicKey::Id(id) } else { TopicKey::Name(name.into()) }
    }

    /// Takes partitions that are new, or are to be fetched from elsewhere; false where a topic has
    /// a name that none has.
    fn take(&mut self, topics: &[FetchTopic]) -> bool {
        for topic in topics {
            if topic.topic.len() > MAX_NAME_BYTES {
                return false;
            }
            let key = self.key(&topic.topic, topic.topic_id);
            for asked in &topic.partitions {
                let place = Place { topic: key.clone(), partition: asked.partition };
                let known = self.places.get(&place).and_then(|turn| self.turns.get_mut(turn));
                match known {
                    Some(known) => known.asked = asked.clone(),
                    None => self.line_up(Remembered { place, asked: asked.clone(), told: None }),
                }
            }
        }
        true
    }

    /// Its turn is after all others'.
    fn line_up(&mut self, remembered: Remembered) {
        self.places.insert(remembered.place.clone(), self.next_turn);
        self.turns.insert(self.next_turn, remembered);
        self.next_turn += 1;
    }

    fn forget(&mut self, topics: &[ForgottenTopic]) {
        for topic in topics {
            let key = self.key(&topic.topic, topic.topic_id);
            for partition in &topic.partitions {
                let place = Place { topic: key.clone(), partition: *partition };
                if let Some(turn) = self.places.remove(&place) {
                    self.turns.remove(&turn);
                }
            }
        }
    }

    /// Everything to fetch, in the order of the turns.
    fn topics(&self) -> Vec<FetchTopic> {
        let mut topics: Vec<FetchTopic> = Vec::new();
        let mut last = None;
        for Remembered { place, asked, .. } in self.turns.values() {
            if last != Some(&place.topic) {
                last = Some(&place.topic);
                let (topic, topic_id) = match &place.topic {
                    TopicKey::Name(name) => (Str::from(&**name), Uuid::nil()),
                    TopicKey::Id(id) => (Str::default(), *id),
                };
                topics.push(FetchTopic { topic, topic_id, partitions: Vec::new() });
            }
            let topic = topics.last_mut().expect("the first partition has brought one");
            topic.partitions.push(asked.clone());
        }
        topics
    }

    /// Notes what its client is told.
    fn tell(&mut self, responses: &mut [FetchableTopicResponse]) {
        for response in responses {
            let key = self.key(&response.topic, response.topic_id);
            for data in &response.partitions {
                self.is_news(&key, data);
            }
        }
    }

    /// Keeps only what is news to its client.
    fn tell_news(&mut self, responses: &mut Vec<FetchableTopicResponse>) {
        for response in responses.iter_mut() {
            let key = self.key(&response.topic, response.topic_id);
            response.partitions.retain(|data| self.is_news(&key, data));
        }
        responses.retain(|response| !response.partitions.is_empty());
    }

    /// Whether a client must hear this of a partition. One that had records is served after all
    /// others the next time: where an answer is full, everybody gets a turn.
    fn is_news(&mut self, topic: &TopicKey, data: &PartitionData) -> bool {
        let place = Place { topic: topic.clone(), partition: data.partition_index };
        let has_records = data.records.as_ref().is_some_and(|records| !records.is_empty());
        let Some(turn) = self.places.get(&place).copied() else { return true };
        let Some(known) = self.turns.get_mut(&turn) else { return true };
        // After an error it must hear that it is over.
        let told = (data.error_code == 0).then_some(Told {
            high_watermark: data.high_watermark,
            last_stable_offset: data.last_stable_offset,
            log_start_offset: data.log_start_offset,
        });
        let is_new = told.is_none() || known.told != told;
        known.told = told;
        if has_records && let Some(known) = self.turns.remove(&turn) {
            self.line_up(known);
        }
        is_new || has_records
    }
}

#[cfg(test)]
mod tests {
    use factum_wire::Records;

    use super::*;

    fn asked(partitions: &[(i32, i64)]) -> Vec<FetchTopic> {
        let partition = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            ..Default::default()
        };
        let partitions = partitions.iter().map(partition).collect();
        vec![FetchTopic { topic: Str::from("orders"), partitions, ..Default::default() }]
    }

    fn request(session_id: i32, session_epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
        let topics = if partitions.is_empty() { Vec::new() } else { asked(partitions) };
        FetchRequest { session_id, session_epoch, topics, ..Default::default() }
    }

    /// Answers all that is asked for: partition n has n as its end, and records where told so.
    fn answer(request: &FetchRequest, with_records: &[i32]) -> FetchResponse {
        let data = |asked: &FetchPartition| PartitionData {
            partition_index: asked.partition,
            high_watermark: asked.partition.into(),
            records: with_records
                .contains(&asked.partition)
                .then(|| Records::from(bytes::Bytes::from_static(b"records"))),
            ..Default::default()
        };
        let topic = |topic: &FetchTopic| FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partitions.iter().map(data).collect(),
        };
        FetchResponse {
            responses: request.topics.iter().map(topic).collect(),
            ..Default::default()
        }
    }

    fn places(topics: &[FetchTopic]) -> Vec<(i32, i64)> {
        let partitions = topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|asked| (asked.partition, asked.fetch_offset)).collect()
    }

    fn told(response: &FetchResponse) -> Vec<i32> {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|data| data.partition_index).collect()
    }

    fn fetch(sessions: &FetchSessions, mut request: FetchRequest, with: &[i32]) -> FetchResponse {
        let now = Instant::now();
        let using = sessions.begin(&mut request, false, now).unwrap();
        let mut response = answer(&request, with);
        sessions.end(using, &mut response, now);
        response
    }

    #[test]
    fn only_changes_are_asked_and_only_news_are_told() {
        let sessions = FetchSessions::default();
        let first = fetch(&sessions, request(0, 0, &[(0, 5), (1, 6), (2, 7)]), &[]);
        let id = first.session_id;
        assert!(id > 0);
        assert_eq!(told(&first), [0, 1, 2], "everything is news");
        let second = fetch(&sessions, request(id, 1, &[]), &[]);
        assert_eq!((second.session_id, told(&second)), (id, vec![]));
        assert_eq!(told(&fetch(&sessions, request(id, 2, &[]), &[0])), [0]);
        let mut third = request(id, 3, &[(1, 60), (9, 1)]);
        let now = Instant::now();
        let using = sessions.begin(&mut third, false, now).unwrap();
        let turns = [(1, 60), (2, 7), (0, 5), (9, 1)];
        assert_eq!(places(&third.topics), turns, "who had records comes after the others");
        let mut response = answer(&third, &[]);
        response.responses[0].partitions[0].log_start_offset = 3;
        sessions.end(using, &mut response, now);
        assert_eq!(told(&response), [1, 9], "a start that has moved, and one that is new");
        let mut fourth = request(id, 4, &[]);
        fourth.forgotten_topics_data = vec![ForgottenTopic {
            topic: Str::from("orders"),
            partitions: vec![1, 2, 77],
            ..Default::default()
        }];
        let using = sessions.begin(&mut fourth, false, now).unwrap();
        assert_eq!(places(&fourth.topics), [(0, 5), (9, 1)]);
        sessions.end(using, &mut answer(&fourth, &[]), now);
        assert_eq!(sessions.table.lock().partitions, 2);
    }

    #[test]
    fn an_error_is_told_every_time_and_its_end_too() {
        let sessions = FetchSessions::default();
        let id = fetch(&sessions, request(0, 0, &[(0, 0)]), &[]).session_id;
        for (epoch, error_code, expected) in [(1, 3, 1), (2, 3, 1), (3, 0, 1), (4, 0, 0)] {
            let mut request = request(id, epoch, &[]);
            let using = sessions.begin(&mut request, false, Instant::now()).unwrap();
            let mut response = answer(&request, &[]);
            response.responses[0].partitions[0].error_code = error_code;
            sessions.end(using, &mut response, Instant::now());
            assert_eq!(told(&response).len(), expected, "epoch {epoch}");
        }
    }

    #[test]
    fn a_request_that_does_not_follow_is_refused() {
        let sessions = FetchSessions::default();
        let id = fetch(&sessions, request(0, 0, &[(0, 0)]), &[]).session_id;
        let begin = |mut request: FetchRequest, by_id| {
            sessions.begin(&mut request, by_id, Instant::now()).err()
        };
        let other = if id == 1 { 2 } else { 1 };
        assert_eq!(begin(request(other, 1, &[]), false), Some(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(begin(request(0, 1, &[]), false), Some(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(begin(request(id, 2, &[]), false), Some(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(begin(request(id, -7, &[]), false), Some(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(begin(request(id, 1, &[]), true), Some(ErrorCode::FetchSessionTopicIdError));
        assert_eq!(begin(request(id, 1, &[]), false), None, "it was left as it was");
        let without = fetch(&sessions, request(id, -1, &[(0, 0)]), &[]);
        assert_eq!((without.session_id, told(&without)), (0, vec![0]), "it is closed");
        assert_eq!(begin(request(id, 2, &[]), false), Some(ErrorCode::FetchSessionIdNotFound));
        assert!(sessions.table.lock().sessions.is_empty());
        let again = fetch(&sessions, request(0, 0, &[(0, 0)]), &[]).session_id;
        let renewed = fetch(&sessions, request(again, 0, &[(0, 0)]), &[]).session_id;
        assert!(renewed != again && sessions.table.lock().sessions.len() == 1);
    }

    #[test]
    fn places_are_limited_and_idle_sessions_make_room() {
        let sessions = FetchSessions::default();
        let start = Instant::now();
        let create = |now: Instant, topics: Vec<FetchTopic>| {
            let mut request = FetchRequest { session_epoch: BEGINS, topics, ..Default::default() };
            let using = sessions.begin(&mut request, false, now).unwrap();
            let mut response = FetchResponse::default();
            sessions.end(using, &mut response, now);
            response.session_id
        };
        for _ in 0..MAX_SESSIONS {
            assert_ne!(create(start, asked(&[(0, 0)])), 0);
        }
        assert_eq!(create(start + IDLE, asked(&[(0, 0)])), 0, "all are in use");
        let later = start + IDLE + Duration::from_secs(1);
        assert_ne!(create(later, asked(&[(0, 0)])), 0);
        let many: Vec<_> = (0..i32::try_from(MAX_PARTITIONS).unwrap()).map(|n| (n, 0)).collect();
        assert_ne!(create(later, asked(&many[1..])), 0, "all that are idle go");
        assert_eq!(sessions.table.lock().partitions, MAX_PARTITIONS);
        assert_eq!(create(later, asked(&[(0, 0)])), 0);
        let mut long = asked(&[(0, 0)]);
        long[0].topic = Str::from("x".repeat(250).as_str());
        assert_eq!(create(later + IDLE * 2, long), 0, "no topic has such a name");
    }

    #[test]
    fn a_session_does_not_grow_past_the_limit() {
        let sessions = FetchSessions::default();
        let id = fetch(&sessions, request(0, 0, &[(0, 0)]), &[]).session_id;
        let many: Vec<_> = (0..i32::try_from(MAX_PARTITIONS).unwrap()).map(|n| (n, 0)).collect();
        let begin =
            |mut request: FetchRequest| sessions.begin(&mut request, false, Instant::now()).err();
        assert_eq!(begin(request(id, 1, &many)), None);
        let more = request(id, 2, &[(i32::MAX, 0)]);
        assert_eq!(begin(more), Some(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(sessions.table.lock().partitions, 0);
    }
}
