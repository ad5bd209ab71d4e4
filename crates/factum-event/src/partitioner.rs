//! Which partition a key belongs to: the same one that the Kafka clients choose.

use crate::Partition;

/// The partition of a key among `partitions`: 32-bit murmur2, as Java's default partitioner and
/// librdkafka's `murmur2` have it. None where there are no partitions.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u32) -> Option<Partition> {
    let positive = murmur2(key) & 0x7fff_ffff;
    let index = positive.checked_rem(partitions)?;
    Partition::new(i32::try_from(index).ok()?)
}

/// Kafka's murmur2, with its seed.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MIX: u32 = 0x5bd1_e995;
    // Kafka's length is a Java int: keys are shorter than 2 GiB.
    #[expect(clippy::cast_possible_truncation, reason = "as in Java")]
    let mut hash = SEED ^ (data.len() as u32);
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MIX);
        k ^= k >> 24;
        hash = hash.wrapping_mul(MIX) ^ k.wrapping_mul(MIX);
    }
    for (index, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * index);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafkas_own_tests() {
        // org.apache.kafka.common.utils.UtilsTest.testMurmur2
        let cases: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"a", -1_563_381_124),
        ];
        for (key, hash) in cases {
            let ours = i32::from_ne_bytes(murmur2(key).to_ne_bytes());
            assert_eq!(ours, hash, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn a_topic_without_partitions_has_none_for_any_key() {
        assert_eq!(partition_of(b"a", 0), None);
        assert_eq!(partition_of(b"a", 1), Some(Partition::ZERO));
    }
}
