//! `range`: of each topic, the members that subscribe to it take ranges of equal lengths, longer by
//! one for the first ones. Static members come first, by their instance ids, then the others by
//! member id: so partitions of the same number of topics with equally many go to the same member,
//! if the same members read them.

use super::{Assignment, Candidate, Counts, subscribers};
use crate::groups::range_assignor::ranges;

pub(super) fn assign(members: &[Candidate<'_>], counts: &Counts) -> Vec<Assignment> {
    let mut assignments = vec![Assignment::default(); members.len()];
    let rank = |place: &usize| {
        let member = &members[*place];
        (member.instance_id.is_none(), member.instance_id, member.member_id)
    };
    for (topic, mut readers) in subscribers(members) {
        readers.sort_by(|a, b| rank(a).cmp(&rank(b)));
        let count = counts.get(&topic).copied().unwrap_or(0);
        for (reader, range) in readers.iter().zip(ranges(count, readers.len())) {
            assignments[*reader].extend(range.map(|partition| (topic, partition)));
        }
    }
    assignments
}
