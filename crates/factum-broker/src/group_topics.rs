//! The broker's topics, as groups whose coordinator assigns see them.

use std::sync::Arc;

use crate::Broker;
use crate::groups::{TopicInfo, TopicsView};
use crate::topic::Topic;

impl TopicsView for Broker {
    fn changes(&self) -> u64 {
        *self.topic_changes().borrow()
    }

    fn by_name(&self, name: &str) -> Option<TopicInfo> {
        self.topic(name).as_deref().map(info)
    }

    fn matching(&self, passes: &dyn Fn(&str) -> bool) -> Vec<TopicInfo> {
        let wanted = |topic: &Arc<Topic>| !topic.name.is_internal() && passes(topic.name.as_str());
        self.all_topics().iter().filter(|topic| wanted(topic)).map(|topic| info(topic)).collect()
    }
}

fn info(topic: &Topic) -> TopicInfo {
    TopicInfo {
        id: topic.id,
        name: topic.name.as_str().to_owned(),
        partitions: i32::try_from(topic.partition_count()).unwrap_or(i32::MAX),
    }
}
