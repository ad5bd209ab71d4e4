//! Assignors with random members, topics and former assignments.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn topic(number: usize) -> TopicId {
    TopicId(Uuid::from_u128(number as u128 + 1))
}

/// Members with the topics that they subscribe to, by number.
#[derive(Debug, Clone)]
struct Group {
    counts: Counts,
    topics: Vec<Topics>,
}

impl Group {
    fn assign(&self, assignor: Assignor, has: &[Assignment]) -> Vec<Assignment> {
        let ids: Vec<_> =
            (0..self.topics.len()).map(|member| format!("member {member:03}")).collect();
        let members = ids.iter().zip(&self.topics).zip(has);
        let members: Vec<_> = members
            .map(|((member_id, topics), has)| Candidate {
                member_id,
                instance_id: None,
                topics,
                has,
            })
            .collect();
        assignor.assign(&members, &self.counts)
    }

    fn nothing(&self) -> Vec<Assignment> {
        vec![Assignment::default(); self.topics.len()]
    }

    /// Every partition that somebody reads has one owner, who reads it.
    fn check(&self, assigned: &[Assignment]) {
        let mut owned = BTreeSet::new();
        for (assignment, topics) in assigned.iter().zip(&self.topics) {
            for (topic, partition) in assignment.iter() {
                assert!(topics.contains(&topic), "who has {topic:?} reads it");
                assert!(owned.insert((topic, partition)), "{topic:?}-{partition} has two owners");
            }
        }
        let read = |topic: &TopicId| self.topics.iter().any(|topics| topics.contains(topic));
        let read: usize = self
            .counts
            .iter()
            .filter(|(topic, _)| read(topic))
            .map(|(_, count)| *count as usize)
            .sum();
        assert_eq!(owned.len(), read);
        let all_exist = |(topic, partition): &(TopicId, i32)| *partition < self.counts[topic];
        assert!(owned.iter().all(all_exist));
    }
}

fn counts() -> impl Strategy<Value = Counts> {
    prop::collection::vec(0..12_i32, 1..6)
        .prop_map(|counts| counts.into_iter().enumerate().map(|(n, c)| (topic(n), c)).collect())
}

fn equals() -> impl Strategy<Value = Group> {
    (counts(), 1..9_usize).prop_map(|(counts, members)| {
        let all: Topics = Arc::new(counts.keys().copied().collect());
        Group { topics: vec![all; members], counts }
    })
}

fn group() -> impl Strategy<Value = Group> {
    (counts(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(counts, masks)| {
        let of = |mask: u8| {
            let wanted =
                |(place, topic): (usize, &TopicId)| (mask >> place & 1 == 1).then_some(*topic);
            Arc::new(counts.keys().enumerate().filter_map(wanted).collect())
        };
        Group { topics: masks.into_iter().map(of).collect(), counts }
    })
}

proptest! {
    #[test]
    fn every_partition_has_one_owner(group in group(), before in group()) {
        for assignor in [Assignor::Uniform, Assignor::Range] {
            let mut has = before.assign(assignor, &before.nothing());
            has.resize(group.topics.len(), Assignment::default());
            group.check(&group.assign(assignor, &has));
        }
    }

    #[test]
    fn uniform_is_balanced_within_one_where_all_read_the_same(group in equals(), before in group()) {
        let mut has = before.assign(Assignor::Uniform, &before.nothing());
        has.resize(group.topics.len(), Assignment::default());
        let assigned = group.assign(Assignor::Uniform, &has);
        let sizes = || assigned.iter().map(Assignment::len);
        prop_assert!(sizes().max() <= sizes().min().map(|least| least + 1));
    }

    #[test]
    fn no_single_move_makes_uniform_more_equal(group in group()) {
        let assigned = group.assign(Assignor::Uniform, &group.nothing());
        for of in &assigned {
            for (topic, _) in of.iter() {
                let readers = group.topics.iter().zip(&assigned);
                let readers = readers.filter(|(topics, _)| topics.contains(&topic));
                for (_, other) in readers {
                    prop_assert!(of.len() < other.len() + 2);
                }
            }
        }
    }

    #[test]
    fn uniform_leaves_all_as_it_is_where_nothing_changed(group in group()) {
        let assigned = group.assign(Assignor::Uniform, &group.nothing());
        prop_assert_eq!(&group.assign(Assignor::Uniform, &assigned), &assigned);
    }

    #[test]
    fn with_uniform_nothing_moves_to_members_that_stay_from_others_that_stay(
        group in equals(),
        leaves in any::<prop::sample::Index>(),
    ) {
        let before = group.assign(Assignor::Uniform, &group.nothing());
        let leaves = leaves.index(before.len());
        let mut rest = group;
        rest.topics.remove(leaves);
        let mut has = before;
        let left = has.remove(leaves);
        let after = rest.assign(Assignor::Uniform, &has);
        for (had, has) in has.iter().zip(&after) {
            for (topic, partition) in has.iter() {
                prop_assert!(had.contains(topic, partition) || left.contains(topic, partition));
            }
        }
    }
}

#[test]
fn a_newcomer_takes_no_more_than_its_share() {
    let all: Topics = Arc::new([topic(0)].into());
    let counts: Counts = [(topic(0), 10)].into();
    let group = Group { counts: counts.clone(), topics: vec![Arc::clone(&all); 2] };
    let before = group.assign(Assignor::Uniform, &group.nothing());
    let group = Group { counts, topics: vec![all; 3] };
    let mut has = before.clone();
    has.push(Assignment::default());
    let after = group.assign(Assignor::Uniform, &has);
    assert_eq!(after.iter().map(Assignment::len).collect::<Vec<_>>(), [4, 3, 3]);
    assert!(after[0].is_subset_of(&before[0]) && after[1].is_subset_of(&before[1]));
}

#[test]
fn range_gives_ranges_and_static_members_come_first() {
    let all: Topics = Arc::new([topic(0), topic(1)].into());
    let counts: Counts = [(topic(0), 3), (topic(1), 2)].into();
    let none = Assignment::default();
    let member =
        |member_id, instance_id| Candidate { member_id, instance_id, topics: &all, has: &none };
    let members = [member("a", None), member("b", Some("i"))];
    let assigned = Assignor::Range.assign(&members, &counts);
    assert_eq!(assigned[0], [(topic(0), 2), (topic(1), 1)].into_iter().collect());
    assert_eq!(assigned[1], [(topic(0), 0), (topic(0), 1), (topic(1), 0)].into_iter().collect());
}

#[test]
fn an_unknown_assignor_is_refused_by_name() {
    assert_eq!(Assignor::by_name("uniform"), Ok(Assignor::Uniform));
    let error = Assignor::by_name("sticky").unwrap_err();
    assert_eq!(error.code(), 112);
    assert!(error.to_string().contains("sticky"));
}
