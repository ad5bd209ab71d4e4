//! Publishing over HTTP: what was not answered is published again, so it may be there more than
//! once.

use std::io;

use factum_event::Event;
use factum_event::event::http::{Encoded, encode_batch};
use serde_json::Value;
use ureq::Agent;

use super::ledger::Ledger;
use super::reading::value_of;
use super::world::{Actor, Life, Tally, World};
use crate::common::{DEADLINE, Dice};

/// Publishes events, a few at once.
pub struct HttpPublisher {
    topic: &'static str,
    writer: u64,
    partitions: i32,
    next: i64,
    /// Partition and events of the request that was not answered yet.
    sending: Option<(i32, Encoded)>,
    ledger: Ledger,
    dice: Dice,
}

impl HttpPublisher {
    pub fn new(topic: &'static str, partitions: i32, writer: u64, dice: Dice) -> Self {
        let ledger = Ledger::new(topic, writer, partitions);
        Self { topic, writer, partitions, next: 0, sending: None, ledger, dice }
    }

    fn next_request(&mut self) -> (i32, Encoded) {
        let partition = self.dice.below(self.partitions as u64) as i32;
        let first = self.next;
        self.next += 1 + self.dice.below(5) as i64;
        let events: Vec<_> = (first..self.next).map(|number| self.event(number)).collect();
        (partition, encode_batch(&events))
    }

    fn event(&mut self, number: i64) -> Event {
        let filling = "x".repeat(self.dice.below(1000) as usize);
        let text = value_of(self.writer, number, filling.as_bytes());
        let event = Event::builder("/kill", "com.example.Counted").id(number.to_string());
        event.text(String::from_utf8(text).unwrap()).build().unwrap()
    }

    fn publish(&self, agent: &Agent, life: &Life) -> io::Result<Value> {
        let (partition, encoded) = self.sending.as_ref().expect("a request");
        let (http, topic) = (life.http, self.topic);
        let url = format!("http://{http}/topics/{topic}/events?partition={partition}");
        let mut request = agent.post(url);
        for (name, value) in &encoded.headers {
            request = request.header(name.as_str(), value.as_str());
        }
        let mut response = request.send(encoded.body.as_ref()).map_err(broken)?;
        let answer = response.body_mut().read_to_string().map_err(broken)?;
        assert_eq!(response.status(), 201, "{answer}");
        Ok(serde_json::from_str(&answer).expect("JSON"))
    }
}

fn broken(error: ureq::Error) -> io::Error {
    match error {
        ureq::Error::Timeout(_) => io::ErrorKind::TimedOut.into(),
        _ => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}

impl Actor for HttpPublisher {
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()> {
        self.ledger.verify(&mut life.connect()?)?;
        let config = Agent::config_builder().http_status_as_error(false);
        let agent: Agent = config.timeout_global(Some(DEADLINE)).build().into();
        loop {
            if self.sending.is_none() && !world.is_draining() {
                self.sending = Some(self.next_request());
            }
            let Some((partition, _)) = self.sending else { return Ok(()) };
            let answer = self.publish(&agent, life)?;
            for position in answer["positions"].as_array().expect("positions") {
                assert_eq!(position["partition"], partition);
                let number = position["id"].as_str().unwrap().parse().unwrap();
                self.ledger.note(partition, position["offset"].as_i64().unwrap(), number);
            }
            self.sending = None;
            world.tell();
        }
    }

    fn check(&mut self, life: &Life) -> Tally {
        self.ledger.check(&mut life.connect().unwrap())
    }
}
