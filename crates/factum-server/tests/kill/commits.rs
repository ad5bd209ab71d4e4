//! A tool that commits offsets for a group without members: 1, 2, 3, …

use std::io;

use factum_wire::ApiKey;

use super::world::{Actor, Life, Tally, World};
use crate::common::client::newest;
use crate::common::work::*;

/// Commits the offset of one partition.
pub struct CommitTool {
    group: &'static str,
    topic: &'static str,
    acknowledged: i64,
}

impl CommitTool {
    pub fn new(group: &'static str, topic: &'static str) -> Self {
        Self { group, topic, acknowledged: 0 }
    }

    /// The commit under way at a kill may have come through without its answer.
    fn judge(&self, found: i64) {
        let possible = self.acknowledged..=self.acknowledged + 1;
        assert!(possible.contains(&found), "{found} is committed, acknowledged are {possible:?}");
    }
}

impl Actor for CommitTool {
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()> {
        let client = &mut life.connect()?;
        let request = committed_request(self.group, self.topic, 0);
        let found = client.try_call(&request, newest(ApiKey::OffsetFetch))?;
        self.judge(found.groups[0].topics[0].partitions[0].committed_offset.max(0));
        while !world.is_draining() {
            let next = self.acknowledged + 1;
            let metadata = format!("at {next}");
            let request = commit_request(self.group, self.topic, (0, next), &metadata);
            let answer = client.try_call(&request, newest(ApiKey::OffsetCommit))?;
            ok("commit", answer.topics[0].partitions[0].error_code);
            self.acknowledged = next;
            world.tell();
        }
        Ok(())
    }

    fn check(&mut self, life: &Life) -> Tally {
        let (found, metadata) = committed(&mut life.connect().unwrap(), self.group, self.topic, 0);
        self.judge(found);
        assert_eq!(metadata, format!("at {found}"));
        let (acknowledged, found) = (self.acknowledged.unsigned_abs(), found.unsigned_abs());
        Tally { what: "commits of a tool; the last one counts".to_owned(), acknowledged, found }
    }
}
