//! `uniform`: members have as many partitions as the others, and keep what they have where that
//! allows it.
//!
//! Where all subscribe to the same topics, numbers differ by one at most, and no partition moves
//! that need not. Where they do not, partitions go to the subscriber that has least, and then move
//! as long as one move makes numbers more equal: no partition could go to a member that has fewer
//! by two.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashSet, VecDeque};
use std::sync::Arc;

use factum_event::TopicId;

use super::{Assignment, Candidate, Counts, subscribers};

/// Rounds over all topics in which partitions move; hardly ever more than two are needed.
const MAX_ROUNDS: usize = 64;

pub(super) fn assign(members: &[Candidate<'_>], counts: &Counts) -> Vec<Assignment> {
    let Some(first) = members.first() else { return Vec::new() };
    let same = |member: &Candidate<'_>| {
        Arc::ptr_eq(member.topics, first.topics) || member.topics == first.topics
    };
    if members.iter().all(same) {
        among_equals(members, first.topics, counts)
    } else {
        let mut places = Places::kept(members, counts);
        places.fill();
        places.balance();
        places.assignments()
    }
}

/// The partitions of a topic.
fn partitions(topic: TopicId, counts: &Counts) -> impl Iterator<Item = (TopicId, i32)> {
    (0..counts.get(&topic).copied().unwrap_or(0)).map(move |partition| (topic, partition))
}

/// All subscribe to the same topics.
fn among_equals(
    members: &[Candidate<'_>],
    topics: &BTreeSet<TopicId>,
    counts: &Counts,
) -> Vec<Assignment> {
    let all = || topics.iter().flat_map(|topic| partitions(*topic, counts));
    let total = all().count();
    let (each, mut extra) = (total / members.len(), total % members.len());
    let mut taken = HashSet::with_capacity(total);
    let mut kept = Vec::with_capacity(members.len());
    for member in members {
        let exists = |(topic, partition): &(TopicId, i32)| {
            let count = counts.get(topic).filter(|_| topics.contains(topic));
            count.is_some_and(|count| (0..*count).contains(partition))
        };
        let mut keeps: Vec<_> =
            member.has.iter().filter(exists).filter(|at| !taken.contains(at)).collect();
        let has_extra = keeps.len() > each && extra > 0;
        extra -= usize::from(has_extra);
        keeps.truncate(each + usize::from(has_extra));
        taken.extend(keeps.iter().copied());
        kept.push(keeps);
    }
    let mut wanting = VecDeque::new();
    for (place, keeps) in kept.iter().enumerate() {
        let gets_extra = keeps.len() <= each && extra > 0;
        extra -= usize::from(gets_extra);
        let quota = each.max(keeps.len()) + usize::from(gets_extra);
        wanting.push_back((place, quota - keeps.len()));
    }
    // One for each in turn, so that a topic does not go to one member whole.
    for partition in all().filter(|at| !taken.contains(at)) {
        while let Some((place, wants)) = wanting.pop_front() {
            if wants > 0 {
                kept[place].push(partition);
                wanting.push_back((place, wants - 1));
                break;
            }
        }
    }
    kept.into_iter().map(Assignment::from_iter).collect()
}

/// Who has which partition while they are being assigned.
struct Places {
    /// By topic, who subscribes to it.
    subscribers: BTreeMap<TopicId, Vec<usize>>,
    /// By topic and partition, who has it.
    owners: BTreeMap<TopicId, Vec<Option<usize>>>,
    /// By member, how many it has.
    loads: Vec<usize>,
}

impl Places {
    /// What members have and may keep.
    fn kept(members: &[Candidate<'_>], counts: &Counts) -> Self {
        let subscribers = subscribers(members);
        let nobody = |topic: &TopicId| (*topic, partitions(*topic, counts).map(|_| None).collect());
        let mut owners: BTreeMap<TopicId, Vec<Option<usize>>> =
            subscribers.keys().map(nobody).collect();
        let mut loads = vec![0; members.len()];
        for (member, candidate) in members.iter().enumerate() {
            let wanted = |topic: &TopicId| candidate.topics.contains(topic);
            for (topic, partition) in candidate.has.iter().filter(|(topic, _)| wanted(topic)) {
                let index = usize::try_from(partition).unwrap_or(usize::MAX);
                let owner = owners.get_mut(&topic).and_then(|owners| owners.get_mut(index));
                if let Some(owner @ None) = owner {
                    *owner = Some(member);
                    loads[member] += 1;
                }
            }
        }
        Self { subscribers, owners, loads }
    }

    /// Gives what nobody has to who has least; topics that few can read come first.
    fn fill(&mut self) {
        let mut topics: Vec<_> = self.subscribers.iter().collect();
        topics.sort_by_key(|(_, subscribers)| subscribers.len());
        for (topic, subscribers) in topics {
            let least = |member: &usize| Reverse((self.loads[*member], *member));
            let mut least: BinaryHeap<_> = subscribers.iter().map(least).collect();
            for owner in self.owners.get_mut(topic).into_iter().flatten() {
                if owner.is_none()
                    && let Some(Reverse((load, member))) = least.pop()
                {
                    *owner = Some(member);
                    self.loads[member] = load + 1;
                    least.push(Reverse((load + 1, member)));
                }
            }
        }
    }

    fn balance(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let topics: Vec<_> = self.subscribers.keys().copied().collect();
            let moves: usize = topics.into_iter().map(|topic| self.balance_topic(topic)).sum();
            if moves == 0 {
                return;
            }
        }
    }

    /// Moves partitions of a topic from who has most to who has least; answers how many.
    fn balance_topic(&mut self, topic: TopicId) -> usize {
        let (Some(subscribers), Some(owners)) =
            (self.subscribers.get(&topic), self.owners.get_mut(&topic))
        else {
            return 0;
        };
        let mut least: BTreeSet<_> = subscribers.iter().map(|m| (self.loads[*m], *m)).collect();
        let mut of_member: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, owner) in owners.iter().enumerate() {
            of_member.entry(owner.unwrap_or_default()).or_default().push(index);
        }
        let mut most: BTreeSet<_> = of_member.keys().map(|m| (self.loads[*m], *m)).collect();
        let mut moves = 0;
        while let (Some((high, from)), Some((low, to))) = (most.pop_last(), least.first().copied())
        {
            let index = of_member.get_mut(&from).filter(|_| high >= low + 2).and_then(Vec::pop);
            let Some(index) = index else { break };
            owners[index] = Some(to);
            moves += 1;
            for (member, before, after) in [(from, high, high - 1), (to, low, low + 1)] {
                self.loads[member] = after;
                least.remove(&(before, member));
                least.insert((after, member));
                most.remove(&(before, member));
            }
            // What came to a member in this topic stays there; it has less than who gave it.
            if of_member.get(&from).is_some_and(|left| !left.is_empty()) {
                most.insert((high - 1, from));
            }
            if of_member.get(&to).is_some_and(|left| !left.is_empty()) {
                most.insert((low + 1, to));
            }
        }
        moves
    }

    fn assignments(self) -> Vec<Assignment> {
        let mut assignments = vec![Assignment::default(); self.loads.len()];
        for (topic, owners) in self.owners {
            for (partition, owner) in (0..).zip(owners) {
                if let Some(owner) = owner {
                    assignments[owner].insert(topic, partition);
                }
            }
        }
        assignments
    }
}
