//! What a mirror cannot copy, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use super::cluster::Place;

/// How long something of which nothing can be said is waited for.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(30);

/// With what something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A topic of the source.
    Topic(String),
    /// A partition of the source.
    Partition(Place),
    /// A group.
    Group(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => out.write_str(name),
            Self::Partition(place) => write!(out, "{place}"),
            Self::Group(name) => write!(out, "group {name}"),
        }
    }
}

/// What is wrong now.
#[derive(Debug, Default)]
pub struct Problems {
    all: BTreeMap<Subject, String>,
    /// Those of which a cluster says nothing now: the next look may tell.
    unknown: BTreeSet<Subject>,
    /// Those of the look before, of which nothing was said again yet.
    stale: BTreeSet<Subject>,
    /// Since when there have been such.
    unknown_since: Option<Instant>,
}

impl Problems {
    /// Takes a problem; false if it is known.
    pub fn add(&mut self, subject: Subject, why: &str) -> bool {
        self.unknown.remove(&subject);
        self.stale.remove(&subject);
        self.all.insert(subject, why.to_owned()).as_deref() != Some(why)
    }

    /// Takes that nothing can be said of something now; false if that is known.
    pub fn add_unknown(&mut self, subject: Subject, why: &str) -> bool {
        let is_new = self.add(subject.clone(), why);
        self.unknown.insert(subject);
        is_new
    }

    /// Takes that nothing is wrong with it any more.
    pub fn solve(&mut self, subject: &Subject) {
        self.all.remove(subject);
    }

    /// Takes that a topic and its partitions are no longer there to have problems.
    pub fn solve_all_of(&mut self, topic: &str) {
        self.all.retain(|subject, _| match subject {
            Subject::Topic(name) => name != topic,
            Subject::Partition(place) => place.topic != topic,
            Subject::Group(_) => true,
        });
    }

    /// Takes which groups still have problems.
    pub fn solve_groups_but(&mut self, troubles: &BTreeMap<String, String>) {
        self.all.retain(|subject, _| match subject {
            Subject::Group(name) => troubles.contains_key(name),
            Subject::Topic(_) | Subject::Partition(_) => true,
        });
    }

    /// The clusters are looked at: what was unknown is found out anew.
    pub fn look(&mut self) {
        self.stale.append(&mut self.unknown);
    }

    /// They were looked at: what was unknown and was not spoken of is no problem any more.
    pub fn has_looked(&mut self) {
        for subject in std::mem::take(&mut self.stale) {
            self.all.remove(&subject);
        }
        let since = self.unknown_since.unwrap_or_else(Instant::now);
        self.unknown_since = (!self.unknown.is_empty()).then_some(since);
    }

    /// Whether there is nothing, or nothing any more, of which a later look is waited for.
    pub fn are_settled(&self) -> bool {
        self.unknown_since.is_none_or(|since| since.elapsed() > UNKNOWN_PATIENCE)
    }

    /// Whether something is wrong with a partition.
    pub fn have(&self, place: &Place) -> bool {
        self.all.contains_key(&Subject::Partition(place.clone()))
    }

    /// Whether a partition is not copied for a reason that the next look will not change.
    pub fn keep_from_copying(&self, place: &Place) -> bool {
        let subjects = [Subject::Partition(place.clone()), Subject::Topic(place.topic.clone())];
        let settled = |of: &Subject| self.all.contains_key(of) && !self.unknown.contains(of);
        subjects.iter().any(settled)
    }

    /// All of them in words.
    pub fn named(&self) -> BTreeMap<String, String> {
        self.all.iter().map(|(subject, why)| (subject.to_string(), why.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(topic: &str) -> Place {
        Place { topic: topic.to_owned(), partition: 0 }
    }

    fn partition(topic: &str) -> Subject {
        Subject::Partition(place(topic))
    }

    #[test]
    fn what_is_unknown_is_reported_and_waited_for_and_what_is_settled_is_not() {
        let mut problems = Problems::default();
        problems.look();
        assert!(problems.add_unknown(partition("a"), "is unknown"));
        assert!(!problems.add_unknown(partition("a"), "is unknown"), "it is told once");
        problems.add(Subject::Topic("b".to_owned()), "is left alone");
        problems.has_looked();
        assert!(!problems.are_settled());
        assert!(
            !problems.keep_from_copying(&place("a")) && problems.keep_from_copying(&place("b"))
        );
        assert_eq!(problems.named().into_keys().collect::<Vec<_>>(), ["a-0", "b"]);
        // The next look finds it.
        problems.look();
        problems.solve(&partition("a"));
        problems.has_looked();
        assert!(problems.are_settled());
        assert_eq!(problems.named().into_keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn what_is_not_spoken_of_any_more_is_no_problem_unless_it_is_settled() {
        let mut problems = Problems::default();
        problems.look();
        problems.add_unknown(Subject::Topic("gone".to_owned()), "is not described");
        problems.add_unknown(partition("a"), "has no leader");
        problems.has_looked();
        // Between looks somebody who reads it finds out more.
        problems.add(partition("a"), "is damaged");
        // A look that fails says nothing of anything.
        problems.look();
        assert_eq!(problems.named().len(), 2);
        problems.look();
        problems.has_looked();
        assert_eq!(problems.named().into_keys().collect::<Vec<_>>(), ["a-0"]);
    }

    #[test]
    fn problems_go_with_what_had_them() {
        let mut problems = Problems::default();
        problems.add(partition("a"), "x");
        problems.add(partition("a-b"), "x");
        for group in ["one", "two"] {
            problems.add(Subject::Group(group.to_owned()), "x");
        }
        problems.solve_all_of("a");
        problems.solve_groups_but(&[("two".to_owned(), "x".to_owned())].into());
        assert_eq!(problems.named().into_keys().collect::<Vec<_>>(), ["a-b-0", "group two"]);
    }
}
