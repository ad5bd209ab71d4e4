//! What members of protocol type "consumer" say to each other through the group: a
//! [`Subscription`] when they join, an [`Assignment`] when they sync.
//!
//! The bytes come from other clients and are not trusted: no length in them reserves memory
//! unchecked. A version newer than the ones known is read as the newest known, as its fields
//! come first; a subscription that ends early, between two fields, lacks the rest, as some
//! clients announce version 1 and send version 0.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// The protocol type of consumers.
pub const PROTOCOL_TYPE: &str = "consumer";

/// The protocol of Kafka Streams, of the same type: only its own leader can assign, as what members
/// are to do is in their user data.
pub(super) const STREAMS_PROTOCOL: &str = "stream";

/// The newest version of both messages.
pub const MAX_VERSION: i16 = 3;

/// The generation of who was in none yet.
pub const NO_GENERATION: i32 = -1;

/// Why bytes are no message of the consumer protocol, or a message cannot become bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConsumerProtocolError {
    /// The bytes end too early.
    #[error("{expected} expected at byte {at}, but only {left} bytes are left")]
    Truncated {
        /// What was to come.
        expected: &'static str,
        /// Where.
        at: usize,
        /// How many bytes are left there.
        left: usize,
    },
    /// A length that cannot be.
    #[error("{length} at byte {at} is no length of {expected}")]
    Length {
        /// What was to come.
        expected: &'static str,
        /// Where.
        at: usize,
        /// What is there.
        length: i64,
    },
    /// A string that is not UTF-8.
    #[error("the string at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where.
        at: usize,
    },
    /// A version that does not exist.
    #[error("there is no version {0} of the consumer protocol; use 0 to 3")]
    Version(i16),
    /// Something too long to be encoded.
    #[error("{0} is too long for the consumer protocol")]
    TooLong(&'static str),
}

type Result<T> = std::result::Result<T, ConsumerProtocolError>;

/// Partitions of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: Vec<i32>,
}

/// What a member wants to read, and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topics that it wants.
    pub topics: Vec<String>,
    /// What its assignor adds.
    pub user_data: Option<Bytes>,
    /// The partitions that it has (version 1).
    pub owned: Vec<TopicPartitions>,
    /// The generation in which it got them (version 2).
    pub generation: i32,
    /// Where it runs (version 3).
    pub rack: Option<String>,
}

impl Subscription {
    /// A subscription to topics of a member that has nothing yet.
    #[must_use]
    pub fn of(topics: impl IntoIterator<Item = String>) -> Self {
        Self {
            topics: topics.into_iter().collect(),
            user_data: None,
            owned: Vec::new(),
            generation: NO_GENERATION,
            rack: None,
        }
    }

    /// The bytes of a version, which leaves out what it does not know.
    ///
    /// # Errors
    /// [`ConsumerProtocolError::Version`], [`ConsumerProtocolError::TooLong`].
    pub fn encode(&self, version: i16) -> Result<Bytes> {
        let mut out = start(version)?;
        put_length(&mut out, self.topics.len(), "the list of topics")?;
        for topic in &self.topics {
            put_string(&mut out, topic)?;
        }
        put_bytes(&mut out, self.user_data.as_ref())?;
        if version >= 1 {
            put_partitions(&mut out, &self.owned)?;
        }
        if version >= 2 {
            out.put_i32(self.generation);
        }
        if version >= 3 {
            match &self.rack {
                Some(rack) => put_string(&mut out, rack)?,
                None => out.put_i16(-1),
            }
        }
        Ok(out.freeze())
    }

    /// Reads a subscription of any version.
    ///
    /// # Errors
    /// [`ConsumerProtocolError`] with the place at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut input = Input { bytes, at: 0 };
        let version = input.version()?;
        let mut subscription = Self::of(input.topics()?);
        subscription.user_data = input.nullable_bytes("user data")?;
        if version >= 1 && !input.is_at_end() {
            subscription.owned = input.partitions()?;
        }
        if version >= 2 && !input.is_at_end() {
            subscription.generation = input.i32("a generation")?;
        }
        if version >= 3 && !input.is_at_end() {
            subscription.rack = input.nullable_string("a rack")?;
        }
        Ok(subscription)
    }

    /// Reads only the topics, which every version begins with.
    ///
    /// # Errors
    /// [`ConsumerProtocolError`] with the place at fault.
    pub fn decode_topics(bytes: &[u8]) -> Result<Vec<String>> {
        let mut input = Input { bytes, at: 0 };
        input.version()?;
        input.topics()
    }
}

/// What a member gets to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// Its partitions.
    pub partitions: Vec<TopicPartitions>,
    /// What the assignor adds.
    pub user_data: Option<Bytes>,
}

impl Assignment {
    /// The bytes of a version; all are alike.
    ///
    /// # Errors
    /// [`ConsumerProtocolError::Version`], [`ConsumerProtocolError::TooLong`].
    pub fn encode(&self, version: i16) -> Result<Bytes> {
        let mut out = start(version)?;
        put_partitions(&mut out, &self.partitions)?;
        put_bytes(&mut out, self.user_data.as_ref())?;
        Ok(out.freeze())
    }

    /// Reads an assignment of any version. No bytes at all are what a group gives a member that
    /// its leader forgot: no partitions.
    ///
    /// # Errors
    /// [`ConsumerProtocolError`] with the place at fault.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut input = Input { bytes, at: 0 };
        input.version()?;
        let partitions = input.partitions()?;
        Ok(Self { partitions, user_data: input.nullable_bytes("user data")? })
    }
}

/// The version of a message of either kind.
///
/// # Errors
/// [`ConsumerProtocolError`] if there is none.
pub fn version(bytes: &[u8]) -> Result<i16> {
    Input { bytes, at: 0 }.version()
}

fn start(version: i16) -> Result<BytesMut> {
    if !(0..=MAX_VERSION).contains(&version) {
        return Err(ConsumerProtocolError::Version(version));
    }
    let mut out = BytesMut::new();
    out.put_i16(version);
    Ok(out)
}

fn put_length(out: &mut BytesMut, length: usize, what: &'static str) -> Result<()> {
    out.put_i32(i32::try_from(length).map_err(|_| ConsumerProtocolError::TooLong(what))?);
    Ok(())
}

fn put_string(out: &mut BytesMut, text: &str) -> Result<()> {
    let length = i16::try_from(text.len());
    out.put_i16(length.map_err(|_| ConsumerProtocolError::TooLong("a name"))?);
    out.put_slice(text.as_bytes());
    Ok(())
}

fn put_bytes(out: &mut BytesMut, bytes: Option<&Bytes>) -> Result<()> {
    match bytes {
        Some(bytes) => {
            put_length(out, bytes.len(), "user data")?;
            out.put_slice(bytes);
        }
        None => out.put_i32(-1),
    }
    Ok(())
}

fn put_partitions(out: &mut BytesMut, topics: &[TopicPartitions]) -> Result<()> {
    put_length(out, topics.len(), "the list of topics")?;
    for topic in topics {
        put_string(out, &topic.topic)?;
        put_length(out, topic.partitions.len(), "the list of partitions")?;
        for partition in &topic.partitions {
            out.put_i32(*partition);
        }
    }
    Ok(())
}

/// Bytes that are read from front to back.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn is_at_end(&self) -> bool {
        self.left() == 0
    }

    fn take(&mut self, length: usize, expected: &'static str) -> Result<&'a [u8]> {
        let (at, left) = (self.at, self.left());
        let taken = self.bytes[at..].get(..length);
        let taken = taken.ok_or(ConsumerProtocolError::Truncated { expected, at, left })?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, expected)?);
        Ok(array)
    }

    fn i16(&mut self, expected: &'static str) -> Result<i16> {
        self.array(expected).map(i16::from_be_bytes)
    }

    fn i32(&mut self, expected: &'static str) -> Result<i32> {
        self.array(expected).map(i32::from_be_bytes)
    }

    fn version(&mut self) -> Result<i16> {
        match self.i16("a version")? {
            version @ 0.. => Ok(version),
            version => Err(ConsumerProtocolError::Version(version)),
        }
    }

    fn string(&mut self, expected: &'static str) -> Result<String> {
        let at = self.at;
        let none = ConsumerProtocolError::Length { expected, at, length: -1 };
        self.nullable_string(expected)?.ok_or(none)
    }

    fn nullable_string(&mut self, expected: &'static str) -> Result<Option<String>> {
        let at = self.at;
        let length = self.i16(expected)?;
        if length == -1 {
            return Ok(None);
        }
        let wrong = ConsumerProtocolError::Length { expected, at, length: length.into() };
        let bytes = self.take(usize::try_from(length).map_err(|_| wrong)?, expected)?;
        let text = std::str::from_utf8(bytes).map_err(|_| ConsumerProtocolError::NotUtf8 { at })?;
        Ok(Some(text.to_owned()))
    }

    fn nullable_bytes(&mut self, expected: &'static str) -> Result<Option<Bytes>> {
        let at = self.at;
        let length = self.i32(expected)?;
        if length == -1 {
            return Ok(None);
        }
        let wrong = ConsumerProtocolError::Length { expected, at, length: length.into() };
        let bytes = self.take(usize::try_from(length).map_err(|_| wrong)?, expected)?;
        Ok(Some(Bytes::copy_from_slice(bytes)))
    }

    /// A list whose items have at least `item_bytes` each: a count that the rest of the bytes
    /// cannot hold is refused before anything is reserved for it.
    fn list<T>(
        &mut self,
        expected: &'static str,
        item_bytes: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let at = self.at;
        let count = self.i32(expected)?;
        let length = i64::from(count);
        let count = usize::try_from(count).ok().filter(|count| *count <= self.left() / item_bytes);
        let count = count.ok_or(ConsumerProtocolError::Length { expected, at, length })?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn topics(&mut self) -> Result<Vec<String>> {
        self.list("topics", 2, |input| input.string("a topic"))
    }

    fn partitions(&mut self) -> Result<Vec<TopicPartitions>> {
        self.list("topics with partitions", 6, |input| {
            let topic = input.string("a topic")?;
            let partitions = input.list("partitions", 4, |input| input.i32("a partition"))?;
            Ok(TopicPartitions { topic, partitions })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic_partitions() -> impl Strategy<Value = Vec<TopicPartitions>> {
        let one = ("[a-z.äß]{0,9}", prop::collection::vec(any::<i32>(), 0..5))
            .prop_map(|(topic, partitions)| TopicPartitions { topic, partitions });
        prop::collection::vec(one, 0..5)
    }

    fn user_data() -> impl Strategy<Value = Option<Bytes>> {
        prop::option::of(prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from))
    }

    fn subscription() -> impl Strategy<Value = Subscription> {
        let topics = prop::collection::vec("[a-z]{0,9}", 0..5);
        (topics, user_data(), topic_partitions(), any::<i32>(), prop::option::of("[a-z]{0,5}"))
            .prop_map(|(topics, user_data, owned, generation, rack)| Subscription {
                topics,
                user_data,
                owned,
                generation,
                rack,
            })
    }

    proptest! {
        #[test]
        fn a_subscription_comes_back_without_what_its_version_does_not_know(
            mut subscription in subscription(), version in 0_i16..=3,
        ) {
            let bytes = subscription.encode(version).unwrap();
            prop_assert_eq!(&Subscription::decode_topics(&bytes).unwrap(), &subscription.topics);
            if version < 1 { subscription.owned.clear(); }
            if version < 2 { subscription.generation = NO_GENERATION; }
            if version < 3 { subscription.rack = None; }
            prop_assert_eq!(Subscription::decode(&bytes).unwrap(), subscription);
        }

        #[test]
        fn an_assignment_comes_back_from_every_version(
            partitions in topic_partitions(), user_data in user_data(), version in 0_i16..=3,
        ) {
            let assignment = Assignment { partitions, user_data };
            let bytes = assignment.encode(version).unwrap();
            prop_assert_eq!(Assignment::decode(&bytes).unwrap(), assignment);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Subscription::decode(&bytes);
            let _ = Assignment::decode(&bytes);
        }

        #[test]
        fn damaged_messages_never_panic(
            subscription in subscription(), at in any::<prop::sample::Index>(), byte: u8,
        ) {
            let mut bytes = subscription.encode(3).unwrap().to_vec();
            let at = at.index(bytes.len());
            let _ = Subscription::decode(&bytes[..at]);
            bytes[at] = byte;
            let _ = Subscription::decode(&bytes);
        }
    }

    #[test]
    fn the_bytes_are_those_of_kafka() {
        let bytes = Subscription::of(["ab".to_owned()]).encode(3).unwrap();
        let expected = b"\0\x03\0\0\0\x01\0\x02ab\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff";
        assert_eq!(&bytes[..], expected);
        let partitions = vec![TopicPartitions { topic: "ab".to_owned(), partitions: vec![7] }];
        let bytes = Assignment { partitions, user_data: None }.encode(0).unwrap();
        let expected = b"\0\0\0\0\0\x01\0\x02ab\0\0\0\x01\0\0\0\x07\xff\xff\xff\xff";
        assert_eq!(&bytes[..], expected);
    }

    #[test]
    fn a_newer_version_is_read_as_the_newest_known() {
        let mut bytes = Subscription::of(["ab".to_owned()]).encode(3).unwrap().to_vec();
        bytes[1] = 9;
        bytes.extend_from_slice(b"what version 9 adds");
        assert_eq!(Subscription::decode(&bytes).unwrap(), Subscription::of(["ab".to_owned()]));
    }

    #[test]
    fn a_version_1_without_owned_partitions_is_read() {
        let mut bytes = Subscription::of(["ab".to_owned()]).encode(0).unwrap().to_vec();
        bytes[1] = 1;
        assert_eq!(Subscription::decode(&bytes).unwrap(), Subscription::of(["ab".to_owned()]));
    }

    #[test]
    fn a_huge_count_reserves_nothing() {
        let error = Subscription::decode(b"\0\0\x7f\xff\xff\xff").unwrap_err();
        let (expected, length) = ("topics", i64::from(i32::MAX));
        assert_eq!(error, ConsumerProtocolError::Length { expected, at: 2, length });
    }

    #[test]
    fn no_bytes_are_no_partitions() {
        assert_eq!(Assignment::decode(b"").unwrap(), Assignment::default());
    }

    #[test]
    fn what_cannot_be_encoded_is_refused() {
        let long = Subscription::of(["x".repeat(40_000)]);
        assert_eq!(long.encode(0), Err(ConsumerProtocolError::TooLong("a name")));
        assert_eq!(long.encode(4), Err(ConsumerProtocolError::Version(4)));
        assert_eq!(Assignment::default().encode(-1), Err(ConsumerProtocolError::Version(-1)));
    }
}
