//! Somebody who changes a setting of a topic: what it is was acknowledged, or under way.

use std::io;

use factum_wire::ApiKey;
use factum_wire::messages::*;

use super::world::{Actor, Life, Tally, World};
use crate::common::client::{Client, newest};
use crate::common::work::*;

const KEY: &str = "max.message.bytes";
/// The resource type of a topic.
const TOPIC: i8 = 2;
/// Set a value.
const SET: i8 = 0;

/// Gives one setting of a topic one value after the other.
pub struct Settler {
    topic: &'static str,
    acknowledged: i64,
    /// The change that is not acknowledged yet.
    changing: Option<i64>,
    changes: u64,
}

impl Settler {
    pub fn new(client: &mut Client, topic: &'static str) -> Self {
        create(client, topic, 1);
        let (changing, changes) = (None, 0);
        let mut settler = Self { topic, acknowledged: 0, changing, changes };
        settler.acknowledged = settler.described(client).expect("the server is not killed now");
        settler
    }

    fn described(&self, client: &mut Client) -> io::Result<i64> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: TOPIC,
                resource_name: name(self.topic),
                configuration_keys: Some(vec![name(KEY)]),
            }],
            ..Default::default()
        };
        let answer = client.try_call(&request, newest(ApiKey::DescribeConfigs))?;
        ok("describe configs", answer.results[0].error_code);
        let value = answer.results[0].configs[0].value.as_deref().expect("a value");
        Ok(value.parse().unwrap())
    }

    fn verify(&mut self, client: &mut Client) -> io::Result<()> {
        let found = self.described(client)?;
        let changing = self.changing.take();
        let possible = found == self.acknowledged || Some(found) == changing;
        assert!(possible, "{KEY} is {found}, not {} or {changing:?}", self.acknowledged);
        self.acknowledged = found;
        Ok(())
    }

    fn change(&mut self, client: &mut Client) -> io::Result<()> {
        let value = self.acknowledged + 1;
        let request = IncrementalAlterConfigsRequest {
            resources: vec![IncrementalAlterConfigsResource {
                resource_type: TOPIC,
                resource_name: name(self.topic),
                configs: vec![IncrementalAlterableConfig {
                    name: name(KEY),
                    config_operation: SET,
                    value: Some(name(value.to_string())),
                }],
            }],
            ..Default::default()
        };
        self.changing = Some(value);
        let answer = client.try_call(&request, newest(ApiKey::IncrementalAlterConfigs))?;
        ok("alter configs", answer.responses[0].error_code);
        self.changing = None;
        self.acknowledged = value;
        self.changes += 1;
        Ok(())
    }
}

impl Actor for Settler {
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()> {
        let client = &mut life.connect()?;
        self.verify(client)?;
        while !world.is_draining() {
            self.change(client)?;
            world.tell();
        }
        Ok(())
    }

    fn check(&mut self, life: &Life) -> Tally {
        self.verify(&mut life.connect().unwrap()).expect("the server is not killed now");
        let what = "changes of a topic's setting; the last one counts".to_owned();
        Tally { what, acknowledged: self.changes, found: self.changes }
    }
}
