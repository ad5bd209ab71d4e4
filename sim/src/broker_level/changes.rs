//! Changes of topics that clients ask for.

use factum_broker::topic_config::Configure;
use factum_event::log::NewTopic;
use factum_event::{Offset, Partition, TopicName};

use super::answers::Answer;
use super::life::Life;
use super::random::{self, MAX_PARTITIONS};
use super::topics::{Change, Existing};

/// Who asks.
const PRINCIPAL: &str = "simulation";

/// Beyond every partition: all that is durable when it is decided.
const EVERYTHING: i64 = i64::MAX;

impl Life<'_> {
    /// A topic's name of which nobody waits for a change.
    fn unchanging(&mut self) -> Option<(TopicName, Option<Existing>)> {
        let free = self.world.topics.named.iter().filter(|(_, named)| named.open.is_none());
        let free: Vec<_> = free.map(|(name, named)| (name.clone(), named.now.clone())).collect();
        let at = self.machine.below(free.len());
        free.into_iter().nth(at)
    }

    pub(super) fn change_topic(&mut self) {
        let Some((name, now)) = self.unchanging() else { return };
        let change = match now {
            None => self.creation(),
            Some(now) => self.change_of(now),
        };
        let Some(named) = self.world.topics.named.get_mut(&name) else { return };
        self.machine.history.note(format!("topic {name}: {change:?}"));
        named.ask(change.clone());
        let broker = self.broker.clone();
        self.tasks.start(async move {
            let asked = name.clone();
            let result = match change {
                Change::Create { partitions, configs } => {
                    let new = NewTopic { name, partitions: Some(partitions), configs };
                    broker.create_topic(PRINCIPAL, new, false).await.map(Some)
                }
                Change::Grow { partitions } => {
                    broker.grow_topic(PRINCIPAL, &name, partitions, false).await.map(Some)
                }
                Change::Configure { configs } => {
                    let configure = Configure::Replace(configs);
                    broker.configure_topic(PRINCIPAL, &name, configure, false).await.map(Some)
                }
                Change::Delete => broker.delete_topic(PRINCIPAL, &name).await.map(|()| None),
            };
            Answer::Changed { name: asked, result }
        });
    }

    fn creation(&mut self) -> Change {
        let partitions = u32::try_from(self.machine.random.below(2) + 1).unwrap_or(1);
        Change::Create { partitions, configs: random::configs(self.machine) }
    }

    fn change_of(&mut self, now: Existing) -> Change {
        match self.machine.random.below(10) {
            0..2 => Change::Delete,
            2..4 if now.partitions < MAX_PARTITIONS => {
                Change::Grow { partitions: now.partitions + 1 }
            }
            _ => Change::Configure { configs: random::configs(self.machine) },
        }
    }

    pub(super) fn delete_records(&mut self) {
        let Some((name, Some(now))) = self.unchanging() else { return };
        let (mut before, mut asked) = (Vec::new(), Vec::new());
        for (id, partition) in self.world.partitions.iter_mut().filter(|(id, _)| id.topic == now.id)
        {
            let (from, to) = (partition.start, partition.end.next());
            let wanted = (!self.machine.random.one_in(5))
                .then(|| crate::log_level::offset_within(self.machine, from, to));
            let cut = match wanted {
                Some(offset) => (offset, offset),
                None => (partition.end, Offset::new(EVERYTHING).unwrap_or(to)),
            };
            if let Some(named) = self.world.topics.named.get_mut(&name) {
                named.cuts.push((id.partition, cut));
            }
            before.push((id.partition, wanted));
            asked.push((*id, cut));
            partition.cuts.push(cut);
        }
        let broker = self.broker.clone();
        self.machine.history.note(format!("delete records of {name}: {before:?}"));
        self.tasks.start(async move {
            let before: Vec<(Partition, Option<Offset>)> = before;
            let result = broker.delete_records(PRINCIPAL, &name, &before).await;
            Answer::Cut { name, asked, result }
        });
    }
}
