//! Whether a topic takes the records of a batch: their timestamps and keys.
//!
//! Batches are looked into only where a setting asks for it. The largest timestamp is taken from
//! the batch's header, which its producer wrote.

use factum_event::Timestamp;
use factum_event::batch::Batch;

use crate::locate::UNPACKED_LIMIT;
use crate::produce::ProduceError;
use crate::topic::Topic;
use crate::topic_config::{TimestampType, TopicSettings};

/// The most records that are named.
const MAX_BLAMED: usize = 10_000;

/// Checks a client's batch against the settings of its topic.
pub(crate) fn check(topic: &Topic, batch: &Batch, now: Timestamp) -> Result<(), ProduceError> {
    let settings = &topic.settings;
    if batch.header().attributes.is_log_append_time() {
        return Err(ProduceError::AppendTime);
    }
    let range = Range::of(settings, now);
    let max_timestamp = batch.header().max_timestamp;
    if !range.is_before_end(max_timestamp) {
        // Whose they are; if none's, the header is to blame.
        check_records(topic, batch, &range)?;
        return Err(range.refused(topic, Vec::new(), max_timestamp));
    }
    if !settings.cleanup.compact && range.earliest.is_none() {
        return Ok(());
    }
    check_records(topic, batch, &range)
}

/// Looks at every record: a producer learns at once which of them are to blame.
fn check_records(topic: &Topic, batch: &Batch, range: &Range) -> Result<(), ProduceError> {
    let (mut records, mut time) = (Vec::new(), None);
    for (index, found) in (0..).zip(batch.decode(UNPACKED_LIMIT)?) {
        let record = found?.record;
        let lacks_key = topic.settings.cleanup.compact && record.key.is_none();
        let is_in_time = range.contains(record.timestamp);
        if (lacks_key || !is_in_time) && records.len() < MAX_BLAMED {
            records.push(index);
        }
        if !is_in_time {
            time.get_or_insert(record.timestamp);
        }
    }
    match time {
        Some(time) => Err(range.refused(topic, records, time)),
        None if records.is_empty() => Ok(()),
        None => Err(ProduceError::NoKey { topic: topic.name.clone(), records }),
    }
}

/// The timestamps that a topic takes now; none is no limit.
struct Range {
    earliest: Option<i64>,
    latest: Option<i64>,
}

impl Range {
    fn of(settings: &TopicSettings, now: Timestamp) -> Self {
        if settings.timestamp_type == TimestampType::LogAppendTime {
            return Self { earliest: None, latest: None };
        }
        let now = now.as_millis();
        let earliest = settings.timestamp_before_max_ms.map(|ms| now.saturating_sub_unsigned(ms));
        let latest = settings.timestamp_after_max_ms.map(|ms| now.saturating_add_unsigned(ms));
        Self { earliest, latest }
    }

    fn is_before_end(&self, time: Timestamp) -> bool {
        time == Timestamp::UNKNOWN || self.latest.is_none_or(|latest| time.as_millis() <= latest)
    }

    fn contains(&self, time: Timestamp) -> bool {
        let unknown = time == Timestamp::UNKNOWN;
        let begun = self.earliest.is_none_or(|earliest| time.as_millis() >= earliest);
        self.is_before_end(time) && (unknown || begun)
    }

    fn refused(&self, topic: &Topic, records: Vec<i32>, came: Timestamp) -> ProduceError {
        ProduceError::Timestamp {
            topic: topic.name.clone(),
            records,
            came: came.as_millis(),
            earliest: self.earliest.unwrap_or(i64::MIN),
            latest: self.latest.unwrap_or(i64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use factum_event::batch::{BatchBuilder, Codec};
    use factum_event::{Record, TopicId, TopicName};
    use uuid::Uuid;

    use super::*;
    use crate::topic_config::Configs;

    const NOW: i64 = 1_700_000_000_000;

    fn topic(configs: &[(&str, &str)]) -> Topic {
        let configs = configs.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let (id, now) = (TopicId(Uuid::nil()), Timestamp::from_millis(NOW));
        Topic::new(
            TopicName::new("orders").unwrap(),
            id,
            now,
            1,
            (configs.collect(), &Configs::new()),
        )
    }

    fn batch(records: &[(Option<&'static str>, i64)]) -> Batch {
        let mut builder = BatchBuilder::new(Codec::Lz4, None);
        for (key, time) in records {
            builder.push(&Record {
                key: key.map(Into::into),
                value: None,
                headers: Vec::new(),
                timestamp: Timestamp::from_millis(*time),
            });
        }
        builder.build().unwrap()
    }

    fn at(times: &[i64]) -> Batch {
        batch(&times.iter().map(|time| (None, *time)).collect::<Vec<_>>())
    }

    fn check_in(configs: &[(&str, &str)], batch: &Batch) -> Result<(), ProduceError> {
        check(&topic(configs), batch, Timestamp::from_millis(NOW))
    }

    #[test]
    fn timestamps_are_within_the_limits_of_the_topic() {
        assert_eq!(check_in(&[], &at(&[0, NOW, NOW + 3_600_000])), Ok(()), "Kafka's defaults");
        let late = check_in(&[], &at(&[NOW, NOW + 3_600_001])).unwrap_err();
        assert!(late.to_string().contains("1700003600001"), "{late}");
        assert_eq!(late.records(), [1], "which of them");
        let limits =
            [("message.timestamp.before.max.ms", "10"), ("message.timestamp.after.max.ms", "20")];
        assert_eq!(check_in(&limits, &at(&[NOW - 10, NOW + 20])), Ok(()));
        assert_eq!(check_in(&limits, &at(&[-1])), Ok(()), "none was given");
        let early = check_in(&limits, &at(&[NOW, NOW - 11])).unwrap_err();
        assert!(matches!(early, ProduceError::Timestamp { ref records, .. } if *records == [1]));
        assert!(check_in(&limits, &at(&[NOW + 21])).is_err());
        let append = [limits[0], limits[1], ("message.timestamp.type", "LogAppendTime")];
        assert_eq!(check_in(&append, &at(&[0, NOW * 2])), Ok(()), "the broker's count");
    }

    #[test]
    fn compacted_topics_take_only_what_has_a_key() {
        let compact = [("cleanup.policy", "compact,delete")];
        assert_eq!(check_in(&compact, &batch(&[(Some("a"), NOW), (Some(""), NOW)])), Ok(()));
        let mixed = batch(&[(None, NOW), (Some("a"), NOW), (None, NOW)]);
        let refused = check_in(&compact, &mixed).unwrap_err();
        assert_eq!(refused.records(), [0, 2]);
        assert!(matches!(refused, ProduceError::NoKey { .. }), "{refused:?}");
        let early = [compact[0], ("message.timestamp.before.max.ms", "10")];
        let mixed = batch(&[(None, NOW), (Some("a"), NOW), (Some("b"), NOW - 11)]);
        let refused = check_in(&early, &mixed).unwrap_err();
        assert_eq!(refused.records(), [0, 2]);
        assert!(matches!(refused, ProduceError::Timestamp { .. }), "{refused:?}");
        assert_eq!(check_in(&[], &batch(&[(None, NOW)])), Ok(()));
    }

    #[test]
    fn the_brokers_time_is_not_for_producers_to_claim() {
        let claimed = at(&[NOW]).with_append_time(Timestamp::from_millis(NOW));
        assert_eq!(check_in(&[], &claimed), Err(ProduceError::AppendTime));
    }
}
