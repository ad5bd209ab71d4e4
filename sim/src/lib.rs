//! The log, and the broker on it, on a simulated disk and a virtual clock, from seeds, against a model.
//!
//! One thread does everything: it polls the futures of random clients, lets the workers of the
//! log do one thing at a time, turns the clock and breaks the disk, in an order that follows from
//! the seed alone. So a seed replays exactly; [`Run::digest`] says so. A model knows what was
//! asked for and what was answered, and compares everything that is read with it:
//!
//! * nothing acknowledged is lost, but for what was cut off, compacted or removed;
//! * nothing is served twice, out of order, or with other bytes than were appended;
//! * nothing is served that was not durable: it is there after every crash;
//! * no offset is used again with other content; starts and ends never go back;
//! * a flipped bit leads to an error, and never to wrong bytes;
//! * a transaction counts in all its partitions and for all its offsets, or nowhere: whoever has
//!   seen how it ended sees nothing else, and nothing is seen of what has not ended;
//! * everybody gets an answer in the end.

mod broker_level;
mod clock;
mod history;
mod log_level;
mod machine;
mod tasks;
mod totals;
mod transaction_level;

pub use factum_broker::BrokerMutant;
pub use factum_log::Mutant;
pub use totals::Totals;

use machine::Machine;

/// Something that must never happen.
pub(crate) type Violation = String;

/// How a seed is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What is simulated; without it, the seed says.
    pub level: Option<Level>,
    /// What is broken on purpose.
    pub mutant: BrokerMutant,
}

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// The log alone.
    Log,
    /// The broker on its log.
    Broker,
    /// Transactions on the broker.
    Transactions,
}

impl Level {
    /// What a seed simulates.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        match seed % 3 {
            0 => Self::Log,
            1 => Self::Broker,
            _ => Self::Transactions,
        }
    }
}

/// What came of one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// A number that follows from every operation, every answer and every write.
    pub digest: u64,
    /// Counts.
    pub totals: Totals,
}

/// What must never happen has happened.
#[derive(Debug)]
pub struct Found {
    /// The seed, which replays it.
    pub seed: u64,
    /// What has happened.
    pub violation: String,
    /// The operations before it, the oldest first.
    pub last: Vec<String>,
    /// Counts up to there.
    pub totals: Totals,
}

/// What of the log is broken.
const fn of_log(mutant: BrokerMutant) -> Mutant {
    match mutant {
        BrokerMutant::Log(mutant) => mutant,
        _ => Mutant::None,
    }
}

/// Runs one seed.
///
/// # Errors
/// [`Found`]: a promise was broken.
pub fn run(seed: u64, options: &Options) -> Result<Run, Box<Found>> {
    let mut machine = Machine::new(seed);
    let ran = match options.level.unwrap_or_else(|| Level::of(seed)) {
        Level::Log => log_level::run(&mut machine, of_log(options.mutant)),
        Level::Broker => broker_level::run(&mut machine, options.mutant),
        Level::Transactions => transaction_level::run(&mut machine, options.mutant),
    };
    machine.finish();
    let totals = machine.totals;
    match ran {
        Ok(()) => Ok(Run { digest: machine.history.digest(), totals }),
        Err(violation) => {
            Err(Box::new(Found { seed, violation, last: machine.history.into_last(), totals }))
        }
    }
}
