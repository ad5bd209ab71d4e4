//! What the sealed files of a log have of one partition: a line for each file, packed.
//!
//! A log of many partitions has many lines: a million for a thousand partitions in a thousand
//! files. As structs in a vector they would take 56 to 112 bytes each. Here up to [`RUN`] of them
//! stand in one run of bytes, each as what differs from its neighbours, about 13 bytes. What is
//! asked for by offset, time or file is found by the runs' bounds, and then by reading through one
//! run.

use std::ops::Range;

use factum_event::{Offset, Timestamp};

use crate::journal::index::{Cleaned, Summary};
use crate::journal::{FIRST_SEGMENT, is_segment};

/// Lines in one run: more make searches slower, fewer take more room for bounds.
const RUN: usize = 64;

/// Bytes of the longest line: eight numbers of up to ten bytes each.
const MAX_LINE: usize = 80;

/// Room that a run gets at a time, in bytes.
const ROOM: usize = 64;

/// Bits of the first byte of a line; the lowest two say whether it was compacted.
const IN_SEGMENT: u8 = 4;
const AFTER_GAP: u8 = 8;
const CLEANED: u8 = 3;

/// Lines in the order of their offsets.
#[derive(Default)]
pub(crate) struct Summaries {
    runs: Vec<Run>,
}

impl Summaries {
    /// Adds a line behind all others.
    pub(crate) fn push(&mut self, summary: &Summary) {
        match self.runs.last_mut() {
            Some(run) if run.count < RUN => run.push(summary),
            _ => self.runs.push(Run::new(summary)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Summary> + '_ {
        self.runs.iter().flat_map(Run::iter)
    }

    pub(crate) fn first(&self) -> Option<Summary> {
        self.iter().next()
    }

    /// The last offset that any of them answers for.
    pub(crate) fn last_offset(&self) -> Option<Offset> {
        self.runs.last().map(|run| run.last)
    }

    /// The line that answers for an offset, or the next one that does.
    pub(crate) fn at_or_after(&self, offset: Offset) -> Option<Summary> {
        let at = self.runs.partition_point(|run| run.last < offset);
        self.runs.get(at)?.iter().find(|summary| summary.last >= offset)
    }

    /// The first line that has `from` or more, and a timestamp of `time` or later.
    pub(crate) fn first_since(&self, from: Offset, time: Timestamp) -> Option<Summary> {
        let at = self.runs.partition_point(|run| run.last < from);
        let runs = self.runs[at..].iter().filter(|run| run.max_timestamp >= time);
        runs.flat_map(Run::iter).find(|s| s.last >= from && s.max_timestamp >= time)
    }

    pub(crate) fn max_timestamp(&self) -> Option<Timestamp> {
        self.runs.iter().map(|run| run.max_timestamp).max()
    }

    /// The line of a file.
    pub(crate) fn of_file(&self, file: u64) -> Option<Summary> {
        let runs = self.runs.iter().filter(|run| run.files.0 <= file && file <= run.files.1);
        runs.flat_map(Run::iter).find(|summary| summary.journal == file)
    }

    /// Puts `summary` in the place of the lines between the same offsets, if `fits` says so of
    /// them, and answers them.
    pub(crate) fn replace(
        &mut self,
        (first, last): (Offset, Offset),
        summary: &Summary,
        fits: impl FnOnce(&[Summary]) -> bool,
    ) -> Option<Vec<Summary>> {
        let from = self.runs.partition_point(|run| run.last < first);
        let to = self.runs.partition_point(|run| run.base <= last).max(from);
        let mut lines = self.lines(from..to);
        let at = lines.partition_point(|line| line.base < first);
        let end = lines.partition_point(|line| line.last <= last).max(at);
        if !fits(&lines[at..end]) {
            return None;
        }
        let replaced = lines.splice(at..end, [*summary]).collect();
        self.put(from..to, lines);
        Some(replaced)
    }

    /// Drops the lines that end before `offset`, and answers how many bytes they spoke of.
    pub(crate) fn drop_below(&mut self, offset: Offset) -> u64 {
        let whole = self.runs.partition_point(|run| run.last < offset);
        let mut bytes: u64 = self.runs.drain(..whole).map(|run| run.bytes()).sum();
        let below = |run: &&Run| run.iter().next().is_some_and(|line| line.last < offset);
        if self.runs.first().filter(below).is_some() {
            let mut lines = self.lines(0..1);
            lines.retain(|line| {
                bytes += if line.last < offset { line.bytes } else { 0 };
                line.last >= offset
            });
            self.put(0..1, lines);
        }
        bytes
    }

    /// As [`drop_below`](Self::drop_below), for lines that damage may have put out of order.
    pub(crate) fn drop_all_below(&mut self, offset: Offset) -> u64 {
        if self.iter().map(|line| line.last).is_sorted() {
            return self.drop_below(offset);
        }
        let mut bytes = 0;
        for line in std::mem::take(self).iter() {
            if line.last < offset {
                bytes += line.bytes;
            } else {
                self.push(&line);
            }
        }
        bytes
    }

    /// Drops so many lines, the first ones, and answers how many bytes they spoke of.
    pub(crate) fn drop_first(&mut self, lines: usize) -> u64 {
        if lines == 0 {
            return 0;
        }
        let mut bytes = 0;
        for (at, line) in std::mem::take(self).iter().enumerate() {
            if at < lines {
                bytes += line.bytes;
            } else {
                self.push(&line);
            }
        }
        bytes
    }

    /// Room that it takes.
    pub(crate) fn heap_bytes(&self) -> usize {
        let packed: usize = self.runs.iter().map(|run| run.packed.capacity()).sum();
        packed + self.runs.capacity() * size_of::<Run>()
    }

    fn lines(&self, runs: Range<usize>) -> Vec<Summary> {
        self.runs[runs].iter().flat_map(Run::iter).collect()
    }

    /// Puts lines in the place of runs; a few of them join the run before.
    fn put(&mut self, runs: Range<usize>, mut lines: Vec<Summary>) {
        let Range { mut start, end } = runs;
        if let Some(before) = start.checked_sub(1)
            && self.runs[before].count + lines.len() <= RUN
        {
            lines.splice(0..0, self.lines(before..start));
            start = before;
        }
        let pieces = lines.len().div_ceil(RUN).max(1);
        let pieces = lines.chunks(lines.len().div_ceil(pieces).max(1));
        self.runs.splice(start..end, pieces.filter_map(Run::of));
    }
}

/// Up to [`RUN`] lines.
struct Run {
    base: Offset,
    last: Offset,
    max_timestamp: Timestamp,
    /// The lowest and the highest number of their files.
    files: (u64, u64),
    /// From what files and timestamps are counted: those of the first line.
    origin: (u64, Timestamp),
    count: usize,
    packed: Vec<u8>,
}

impl Run {
    fn new(first: &Summary) -> Self {
        let mut run = Self {
            base: first.base,
            last: first.base,
            max_timestamp: first.max_timestamp,
            files: (first.journal, first.journal),
            origin: (first.journal, first.max_timestamp),
            count: 0,
            packed: Vec::new(),
        };
        run.push(first);
        run
    }

    fn of(lines: &[Summary]) -> Option<Self> {
        let (first, others) = lines.split_first()?;
        let mut run = Self::new(first);
        others.iter().for_each(|line| run.push(line));
        Some(run)
    }

    fn push(&mut self, line: &Summary) {
        let follows = self.count == 0 || line.base == self.last.next();
        let mut flags = u8::try_from(line.cleaned.code()).unwrap_or(0);
        flags |= if is_segment(line.journal) { IN_SEGMENT } else { 0 };
        flags |= if follows { 0 } else { AFTER_GAP };
        let (file, time) = self.origin;
        let mut packed = Line::default();
        packed.put(flags.into());
        if !follows {
            packed.put(fold(line.base.get().wrapping_sub(self.last.get())));
        }
        packed.put(fold(within_kind(line.journal).wrapping_sub(within_kind(file))));
        packed.put(fold(line.last.get().wrapping_sub(line.base.get())));
        packed.put(fold(line.max_timestamp.as_millis().wrapping_sub(time.as_millis())));
        // Lists begin at multiples of 16.
        packed.put(line.list.rotate_right(4));
        packed.put(line.count.into());
        packed.put(line.bytes);
        let packed = &packed.bytes[..packed.length];
        if self.packed.capacity() - self.packed.len() < packed.len() {
            // By little: what a vector takes by doubling does not come back whole.
            self.packed.reserve_exact(packed.len().max(ROOM));
        }
        self.packed.extend_from_slice(packed);
        self.last = line.last;
        self.max_timestamp = self.max_timestamp.max(line.max_timestamp);
        self.files = (self.files.0.min(line.journal), self.files.1.max(line.journal));
        self.count += 1;
    }

    fn iter(&self) -> Lines<'_> {
        Lines { rest: &self.packed, origin: self.origin, base: self.base, last: None }
    }

    fn bytes(&self) -> u64 {
        self.iter().map(|line| line.bytes).sum()
    }
}

/// Reads a run's lines one after the other.
struct Lines<'a> {
    rest: &'a [u8],
    origin: (u64, Timestamp),
    base: Offset,
    last: Option<Offset>,
}

impl Iterator for Lines<'_> {
    type Item = Summary;

    fn next(&mut self) -> Option<Summary> {
        let (&flags, rest) = self.rest.split_first()?;
        self.rest = rest;
        let rest = &mut self.rest;
        let base = match self.last {
            None => self.base,
            Some(last) if flags & AFTER_GAP == 0 => last.next(),
            Some(last) => offset(last.get().wrapping_add(unfold(take(rest)))),
        };
        let number = within_kind(self.origin.0).wrapping_add(unfold(take(rest))).cast_unsigned();
        let last = offset(base.get().wrapping_add(unfold(take(rest))));
        let later = unfold(take(rest));
        self.last = Some(last);
        Some(Summary {
            journal: number + if flags & IN_SEGMENT == 0 { 0 } else { FIRST_SEGMENT },
            base,
            last,
            max_timestamp: Timestamp::from_millis(self.origin.1.as_millis().wrapping_add(later)),
            list: take(rest).rotate_left(4),
            count: u32::try_from(take(rest)).unwrap_or(u32::MAX),
            bytes: take(rest),
            cleaned: Cleaned::of_code(u32::from(flags & CLEANED)).unwrap_or(Cleaned::No),
        })
    }
}

fn offset(number: i64) -> Offset {
    Offset::new(number).unwrap_or(Offset::ZERO)
}

/// The number of a file among those of its kind.
const fn within_kind(file: u64) -> i64 {
    let first = if is_segment(file) { FIRST_SEGMENT } else { 0 };
    (file - first).cast_signed()
}

/// Small numbers of either sign to small ones without a sign.
const fn fold(number: i64) -> u64 {
    (number.wrapping_shl(1) ^ (number >> 63)).cast_unsigned()
}

const fn unfold(folded: u64) -> i64 {
    (folded >> 1).cast_signed() ^ -((folded & 1).cast_signed())
}

/// One line, packed.
struct Line {
    bytes: [u8; MAX_LINE],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; MAX_LINE], length: 0 }
    }
}

impl Line {
    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn put(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            let more = number >= 0x80;
            self.bytes[self.length] = if more { low | 0x80 } else { low };
            self.length += 1;
            if !more {
                return;
            }
            number >>= 7;
        }
    }
}

fn take(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    while let Some((&byte, behind)) = rest.split_first() {
        *rest = behind;
        number |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    number
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(journal: u64, base: i64, last: i64) -> Summary {
        Summary {
            journal,
            base: offset(base),
            last: offset(last),
            max_timestamp: Timestamp::from_millis(1_700_000_000_000 + base),
            list: journal % 7 * 16,
            count: 3,
            bytes: 1000 + journal,
            cleaned: Cleaned::No,
        }
    }

    fn any_line() -> impl Strategy<Value = Summary> {
        let numbers = (any::<u64>(), 0..=i64::MAX, 0..=i64::MAX, any::<i64>());
        (numbers, any::<u64>(), any::<u32>(), any::<u64>(), 0..3_u32).prop_map(
            |((journal, base, last, time), list, count, bytes, cleaned)| Summary {
                journal,
                base: offset(base),
                last: offset(last),
                max_timestamp: Timestamp::from_millis(time),
                list,
                count,
                bytes,
                cleaned: Cleaned::of_code(cleaned).unwrap(),
            },
        )
    }

    fn packed(lines: &[Summary]) -> Summaries {
        let mut packed = Summaries::default();
        lines.iter().for_each(|line| packed.push(line));
        packed
    }

    /// Ten offsets in each file, without gaps.
    fn in_order(files: u64) -> Vec<Summary> {
        let line = |file: u64| line(file, file.cast_signed() * 10, file.cast_signed() * 10 + 9);
        (0..files).map(line).collect()
    }

    proptest! {
        #[test]
        fn whatever_lines_say_they_say_it_again(lines in prop::collection::vec(any_line(), 0..150)) {
            prop_assert_eq!(packed(&lines).iter().collect::<Vec<_>>(), lines);
        }

        #[test]
        fn it_answers_like_a_plain_list(
            files in 1..300_u64,
            edits in prop::collection::vec((any::<bool>(), 0..3000_i64, 0..900_i64), 0..40),
            asked in prop::collection::vec(0..3100_i64, 10),
        ) {
            let mut plain = in_order(files);
            let mut packed = packed(&plain);
            for (number, (drops, from, width)) in (0..).zip(edits) {
                if drops {
                    let gone = plain.iter().take_while(|line| line.last < offset(from / 8));
                    let bytes: u64 = gone.map(|line| line.bytes).sum();
                    plain.retain(|line| line.last >= offset(from / 8));
                    prop_assert_eq!(packed.drop_below(offset(from / 8)), bytes);
                    continue;
                }
                let (base, last) = (from / 10 * 10, (from + width) / 10 * 10 + 9);
                if plain.iter().any(|l| (l.base < offset(base)) != (l.last < offset(base))
                    || (l.base <= offset(last)) != (l.last <= offset(last))) {
                    continue;
                }
                let new = line(FIRST_SEGMENT + number, base, last);
                let at = plain.partition_point(|line| line.base < new.base);
                let end = plain.partition_point(|line| line.last <= new.last);
                let replaced: Vec<_> = plain.splice(at..end, [new]).collect();
                let found = packed.replace((new.base, new.last), &new, |_| true);
                prop_assert_eq!(found, Some(replaced));
            }
            prop_assert_eq!(&packed.iter().collect::<Vec<_>>(), &plain);
            prop_assert_eq!(packed.last_offset(), plain.last().map(|line| line.last));
            let newest = plain.iter().map(|line| line.max_timestamp).max();
            prop_assert_eq!(packed.max_timestamp(), newest);
            for number in asked {
                let at = offset(number);
                let first = plain.iter().find(|line| line.last >= at);
                prop_assert_eq!(packed.at_or_after(at), first.copied());
                let time = Timestamp::from_millis(1_700_000_000_000 + number * 2);
                let since = plain.iter().find(|l| l.last >= at && l.max_timestamp >= time);
                prop_assert_eq!(packed.first_since(at, time), since.copied());
                let file = number.cast_unsigned() / 10;
                let of_file = plain.iter().find(|line| line.journal == file);
                prop_assert_eq!(packed.of_file(file), of_file.copied());
            }
        }
    }

    #[test]
    fn what_is_out_of_order_is_dropped_too() {
        let mut lines = in_order(200);
        lines.swap(10, 150);
        let mut packed = packed(&lines);
        lines.retain(|line| line.last >= offset(1000));
        assert_eq!(packed.drop_all_below(offset(1000)), (0..100).map(|n| 1000 + n).sum::<u64>());
        assert_eq!(packed.iter().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn what_does_not_fit_is_not_replaced() {
        let mut packed = packed(&in_order(100));
        let new = line(FIRST_SEGMENT, 500, 699);
        assert_eq!(packed.replace((new.base, new.last), &new, |found| found.len() != 20), None);
        assert_eq!(packed.iter().collect::<Vec<_>>(), in_order(100));
    }

    /// 10,000 partitions fill a journal of 128 MiB in 13 s: 13 KiB each, in 12 batches.
    #[test]
    fn a_line_takes_less_than_sixteen_bytes() {
        let mut packed = Summaries::default();
        for file in 0..8000_u64 {
            let base = file.cast_signed() * 160;
            packed.push(&Summary {
                max_timestamp: Timestamp::from_millis(
                    1_700_000_000_000 + file.cast_signed() * 13_107,
                ),
                list: 4_000_000 + file * 16,
                count: 12,
                bytes: 13_422 + file % 100,
                ..line(file + 1, base, base + 159)
            });
        }
        let each = packed.heap_bytes() / 8000;
        assert!(each < 16, "{each} bytes");
    }
}
