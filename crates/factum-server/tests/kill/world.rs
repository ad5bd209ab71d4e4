//! The world of the actors: a server that has one life after the other.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use crate::common::DEADLINE;
use crate::common::client::Client;
use crate::common::server::Server;

/// Where a life of the server is to be found.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    number: u64,
    pub kafka: SocketAddr,
    pub http: SocketAddr,
}

impl Life {
    /// A life that no actor waits for.
    pub fn of(server: &Server) -> Self {
        Self { number: 0, kafka: server.kafka, http: server.http }
    }

    pub fn connect(&self) -> io::Result<Client> {
        Client::try_connect(self.kafka)
    }
}

/// What all actors know.
pub struct World {
    life: Mutex<Option<Life>>,
    begun: Condvar,
    /// No new work: finish what is under way.
    draining: AtomicBool,
    /// Who only reads may stop.
    over: AtomicBool,
    acknowledged: mpsc::Sender<()>,
}

impl World {
    /// A world without a server; every acknowledgement comes out at the other end.
    pub fn new() -> (Arc<Self>, mpsc::Receiver<()>) {
        let (acknowledged, receiver) = mpsc::channel();
        let world = Self {
            life: Mutex::new(None),
            begun: Condvar::new(),
            draining: AtomicBool::new(false),
            over: AtomicBool::new(false),
            acknowledged,
        };
        (Arc::new(world), receiver)
    }

    pub fn begin_life(&self, server: &Server) {
        let mut life = self.life.lock().unwrap();
        let number = life.map_or(1, |life| life.number + 1);
        *life = Some(Life { number, ..Life::of(server) });
        self.begun.notify_all();
    }

    /// Waits for a life after number `last`.
    fn life_after(&self, last: u64) -> Life {
        let later = |life: &Option<Life>| life.filter(|life| life.number > last);
        let life = self.life.lock().unwrap();
        let waited = self.begun.wait_timeout_while(life, DEADLINE, |life| later(life).is_none());
        later(&waited.unwrap().0).expect("the server does not come back")
    }

    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Something was acknowledged.
    pub fn tell(&self) {
        // At the end nobody listens any more.
        let _ = self.acknowledged.send(());
    }
}

/// Somebody who uses the server through all its lives.
///
/// To add one: implement it, and list it in `main.rs`.
pub trait Actor: Send {
    /// Uses one life: looks first whether everything is there that was acknowledged in those
    /// before, then goes on until the world drains (who only reads: until it is over).
    ///
    /// # Errors
    /// Where the connection breaks, as it does when the server is killed.
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()>;

    /// Compares everything with what a fresh life has on the disk.
    fn check(&mut self, life: &Life) -> Tally;
}

/// What was acknowledged to an actor, and how much of it was found at the end.
#[derive(Debug)]
pub struct Tally {
    /// Who, and of what these are the numbers.
    pub what: String,
    pub acknowledged: u64,
    pub found: u64,
}

/// An actor at work.
pub struct Working(JoinHandle<Box<dyn Actor>>);

impl Working {
    pub fn start(mut actor: Box<dyn Actor>, world: &Arc<World>) -> Self {
        let world = Arc::clone(world);
        Self(thread::spawn(move || {
            let mut last = 0;
            loop {
                let life = world.life_after(last);
                match actor.live(&world, &life) {
                    Ok(()) => return actor,
                    Err(error) => {
                        let kind = error.kind();
                        let silent = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
                        assert!(!silent.contains(&kind), "the server does not answer");
                        // What does not decode was sent by a server, and no kill does that.
                        assert_ne!(kind, io::ErrorKind::InvalidData, "{error}");
                        last = life.number;
                    }
                }
                if world.is_over() {
                    return actor;
                }
            }
        }))
    }

    /// Whether it has ended before its time: it has failed.
    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }

    pub fn join(self) -> Box<dyn Actor> {
        self.0.join().unwrap_or_else(|failure| std::panic::resume_unwind(failure))
    }
}
