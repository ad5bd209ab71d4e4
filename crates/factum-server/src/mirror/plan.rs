//! What is to be mirrored, and under which names: the same for copying and for comparing.

use std::collections::BTreeMap;

use super::cluster::View;
use super::error::MirrorError;
use super::selection::Selection;
use super::topics::{Pair, identity};

/// What to mirror.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which topics.
    pub topics: Selection,
    /// Which groups.
    pub groups: Selection,
    /// What the names of copies begin with.
    pub prefix: String,
    /// Whether to end when all is copied that was there at the beginning.
    pub once: bool,
}

/// The topics that a plan wants of a cluster.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those to copy.
    pub pairs: Vec<Pair>,
    /// Those of which the source says an error instead, by name.
    pub unsaid: BTreeMap<String, String>,
}

impl Plan {
    /// Which topics of the source are to be copied, as both clusters are now.
    ///
    /// # Errors
    /// Where copies could not be told from what they are copies of.
    pub fn wanted(&self, source: &View, target: &View) -> Result<Wanted, MirrorError> {
        let cluster = source.id.as_deref().ok_or(MirrorError::Nameless)?;
        let is_same = target.id.as_deref() == Some(cluster);
        if is_same && self.prefix.is_empty() {
            return Err(MirrorError::Same { id: cluster.to_owned() });
        }
        // Within one cluster the copies are there too, and are not copied again.
        let is_copy = |name: &str| is_same && name.starts_with(self.prefix.as_str());
        let has = |name: &str| self.topics.has_topic(name) && !is_copy(name);
        let topics = source.topics.iter().filter(|(name, topic)| !topic.is_internal && has(name));
        let pairs = topics.map(|(name, topic)| Pair {
            source: name.clone(),
            target: format!("{}{name}", self.prefix),
            partitions: i32::try_from(topic.leaders.len()).unwrap_or(i32::MAX),
            identity: identity(cluster, topic.id),
        });
        let unsaid = source.unsaid.iter().filter(|(name, _)| has(name));
        let unsaid = unsaid.map(|(name, code)| (name.clone(), code.clone()));
        Ok(Wanted { pairs: pairs.collect(), unsaid: unsaid.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::cluster::TopicView;
    use super::super::selection::pattern;
    use super::*;

    fn plan(prefix: &str) -> Plan {
        let excluded = vec![pattern("test-.*").unwrap()];
        Plan {
            topics: Selection::new(Vec::new(), excluded),
            groups: Selection::new(Vec::new(), Vec::new()),
            prefix: prefix.to_owned(),
            once: false,
        }
    }

    fn view(id: Option<&str>) -> View {
        let names = ["orders", "west.orders", "test-1", "__consumer_offsets", "hidden"];
        let topic = |name: &str| {
            let is_internal = name == "hidden";
            let leaders = [(0, None), (1, None)].into();
            (name.to_owned(), TopicView { is_internal, leaders, ..TopicView::default() })
        };
        let unsaid = ["making", "test-2"].map(|name| (name.to_owned(), "CODE".to_owned()));
        View {
            id: id.map(str::to_owned),
            topics: names.into_iter().map(topic).collect(),
            unsaid: unsaid.into(),
            ..View::default()
        }
    }

    fn names(wanted: &Wanted) -> Vec<(&str, &str)> {
        wanted.pairs.iter().map(|pair| (&*pair.source, &*pair.target)).collect()
    }

    #[test]
    fn the_topics_of_users_are_wanted_under_their_own_names_or_with_a_prefix() {
        let (here, there) = (view(Some("A")), view(Some("B")));
        let wanted = plan("").wanted(&here, &there).unwrap();
        assert_eq!(names(&wanted), [("orders", "orders"), ("west.orders", "west.orders")]);
        assert_eq!((wanted.pairs[0].partitions, &*wanted.pairs[0].identity), (2, "A"));
        assert_eq!(wanted.unsaid.into_keys().collect::<Vec<_>>(), ["making"]);
        let wanted = plan("west.").wanted(&here, &there).unwrap();
        let expected = [("orders", "west.orders"), ("west.orders", "west.west.orders")];
        assert_eq!(names(&wanted), expected);
    }

    #[test]
    fn within_one_cluster_copies_need_a_prefix_and_are_not_copied_again() {
        let same = view(Some("A"));
        let wanted = plan("west.").wanted(&same, &same).unwrap();
        assert_eq!(names(&wanted), [("orders", "west.orders")]);
        let error = plan("").wanted(&same, &same).unwrap_err();
        assert!(error.to_string().contains("--prefix"), "{error}");
        let nameless = plan("").wanted(&view(None), &same);
        assert!(matches!(nameless, Err(MirrorError::Nameless)));
    }
}
