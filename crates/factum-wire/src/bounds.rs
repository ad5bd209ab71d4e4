//! Tests of the promise that no bytes make the decoder panic or reserve without bound.
//!
//! A counting allocator measures what decoding reserves at most, for random bytes, for damaged
//! messages of every API in every version, and for frames built to be as dense as they can.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;

use crate::messages::*;
use crate::reader::{ALLOWANCE_BASE, ALLOWANCE_PER_BYTE, Problem};
use crate::sample::Dice;
use crate::{Message, Reader, Writer, api_table};

/// What sharing a frame and reporting an error may take beside the allowance.
const SLACK: usize = 256;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what this thread holds.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counters are thread-local
// cells without destructor, so that counting neither allocates nor fails.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: `pointer` comes from `alloc` above, hence from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

/// What `run` returns, and the most bytes it held beyond what was held before.
fn peak_of<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = run();
    (result, (PEAK.get() - before).unsigned_abs())
}

fn encode<M: Message>(message: &M, version: i16) -> Vec<u8> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version);
    writer.finish().expect("a sample fits its version").concat().split_off(4)
}

fn decode_within_bounds<M: Message>(bytes: Vec<u8>, version: i16, case: &str) {
    let length = bytes.len();
    let frame = Bytes::from(bytes);
    let (_, peak) = peak_of(|| M::decode(&mut Reader::new(frame), version));
    let limit = length * ALLOWANCE_PER_BYTE + ALLOWANCE_BASE + SLACK;
    let name = M::KEY;
    assert!(peak <= limit, "{name} version {version} {case}: {peak} bytes held for {length}");
}

/// A message with a few bytes changed, cut off, or added.
fn damage(mut bytes: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    for _ in 0..=dice.below(3) {
        let place = dice.below(bytes.len() + 1);
        match (dice.below(5), bytes.get_mut(place)) {
            (0, _) => bytes.truncate(place),
            (1, _) => bytes.insert(place, dice.bytes(1)[0]),
            (2, Some(byte)) => *byte = 0xff,
            (3, Some(byte)) => *byte ^= 1 << dice.below(8),
            (_, Some(byte)) => *byte = dice.bytes(1)[0],
            (_, None) => bytes.push(0x7f),
        }
    }
    bytes
}

fn attack<M: Message>() {
    for version in M::KEY.versions() {
        for seed in 0..100 {
            let case = format!("seed {seed}");
            let mut dice = Dice::new(seed);
            let message = encode(&M::sample(&mut dice, version), version);
            decode_within_bounds::<M>(damage(message, &mut dice), version, &case);
            let length = dice.below(300);
            decode_within_bounds::<M>(dice.bytes(length), version, &case);
        }
        for filler in [0x00, 0x01, 0x02, 0x7f, 0x80, 0xff] {
            for length in [0, 1, 4, 5, 100, 100_000] {
                let case = format!("{length} times {filler:#x}");
                decode_within_bounds::<M>(vec![filler; length], version, &case);
            }
        }
    }
}

macro_rules! attack_all {
    ($($name:ident = $key:literal, $versions:expr, flexible $flexible:literal,
        $request:ident, $response:ident;)*) => { $(
        #[allow(non_snake_case)] // named as in the table of APIs
        mod $name {
            #[test]
            fn no_bytes_make_the_decoder_panic_or_reserve_beyond_its_allowance() {
                super::attack::<super::$request>();
                super::attack::<super::$response>();
            }
        }
    )* };
}

api_table!(attack_all);

fn problem_of<M: Message>(bytes: Vec<u8>, version: i16) -> (String, Problem) {
    match M::decode(&mut Reader::new(bytes.into()), version) {
        Ok(_) => panic!("hostile bytes were accepted"), // without printing a million elements
        Err(error) => (error.field.to_owned(), error.problem),
    }
}

#[test]
fn four_bytes_that_announce_two_billion_topics_are_refused_without_reserving() {
    let (result, peak) = peak_of(|| problem_of::<MetadataRequest>(vec![0x7f, 0xff, 0xff, 0xff], 0));
    let (field, problem) = result;
    assert_eq!(field, "MetadataRequest.topics");
    assert_eq!(problem, Problem::TooManyElements { count: i32::MAX as usize, fit: 0 });
    assert!(peak < 1024, "{peak} bytes held");
}

#[test]
fn a_dense_metadata_frame_is_refused_before_it_outgrows_its_allowance() {
    // Half a million empty names, two bytes each on the wire, 48 in memory.
    let mut bytes = 500_000_i32.to_be_bytes().to_vec();
    bytes.resize(4 + 1_000_000, 0);
    decode_within_bounds::<MetadataRequest>(bytes.clone(), 0, "dense");
    let (field, problem) = problem_of::<MetadataRequest>(bytes, 0);
    assert_eq!(field, "MetadataRequest.topics");
    assert!(matches!(problem, Problem::OverAllowance { count: 500_000, .. }), "{problem}");
}

#[test]
fn a_dense_offset_commit_frame_is_refused_before_it_outgrows_its_allowance() {
    // Version 8: group, generation, member, instance, then topics of three bytes, 72 in memory.
    let mut bytes = vec![1, 0, 0, 0, 0, 1, 0];
    bytes.extend([0xc1, 0x9a, 0x0c]); // one more than 200,000, as a varint
    bytes.extend([1, 1, 0].repeat(200_000));
    bytes.push(0);
    decode_within_bounds::<OffsetCommitRequest>(bytes.clone(), 8, "dense");
    let (field, problem) = problem_of::<OffsetCommitRequest>(bytes, 8);
    assert_eq!(field, "OffsetCommitRequest.topics");
    assert!(matches!(problem, Problem::OverAllowance { count: 200_000, .. }), "{problem}");
}

#[test]
fn honest_large_requests_stay_within_their_allowance() {
    let topics = |name: usize| MetadataRequestTopic {
        name: Some(format!("t{name}").into()),
        ..Default::default()
    };
    let request =
        MetadataRequest { topics: Some((0..100_000).map(topics).collect()), ..Default::default() };
    for version in crate::ApiKey::Metadata.versions() {
        let bytes = encode(&request, version);
        let length = bytes.len();
        let frame = Bytes::from(bytes);
        let (decoded, peak) = peak_of(|| MetadataRequest::decode(&mut Reader::new(frame), version));
        let topics = decoded.expect("an honest request").topics.expect("topics");
        assert_eq!(topics.len(), 100_000);
        assert!(peak <= length * ALLOWANCE_PER_BYTE, "{peak} bytes held for {length}");
    }
}
