//! Opening after `kill -9`, with much data and with little.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Ground, RECORD_BYTES};
use crate::bench::ask::EndOffset;
use crate::bench::ratio::{Aim, median};
use crate::bench::report::{Section, row};
use crate::bench::server::{Server, connect};
use crate::bench::{failed, page_cache};
use crate::step::{Failure, program};

const TOPIC: &str = "bench";
const SMALL_GIB: u64 = 2;
const KILLS: usize = 5;
const MOST_SECONDS: f64 = 1.0;
/// Records that are acknowledged between two kills.
const BETWEEN_KILLS: i64 = 100_000;
/// A load that has not got so far by then does not get there.
const PATIENCE: Duration = Duration::from_secs(60);
/// What must stay free beside the data.
const ROOM_GIB: u64 = 5;

/// From starting the process to the first answer about the topic's end, which must hold all that
/// was acknowledged.
pub(crate) fn opening(ground: &Ground<'_>) -> Result<Section, Failure> {
    let mut body = String::from(
        "`kill -9` while a client writes; then from starting the process to its first answer, \
         which names the end of the topic.\n\n\
         | GiB of data | page cache | median, s | slowest, s | aim for the slowest |\n\
         |---:|---|---:|---:|---|\n",
    );
    let mut commands = Vec::new();
    for gib in [SMALL_GIB, ground.large_gib] {
        if free_gib(ground.directory)? < gib + ROOM_GIB {
            row(&mut body, &[&gib.to_string(), "not measured: the disk has not that much room"]);
            continue;
        }
        let data = ground.directory.join("opened");
        let measured = kills(ground, &data, gib, &mut commands);
        fs::remove_dir_all(&data).map_err(|source| failed(&data, source))?;
        for (cache, times) in measured? {
            let slowest = times.iter().copied().fold(0.0, f64::max);
            let verdict = Aim::AtMost(MOST_SECONDS).verdict(slowest);
            let (middle, slowest) = (format!("{:.3}", median(times)), format!("{slowest:.3}"));
            row(&mut body, &[&gib.to_string(), cache, &middle, &slowest, &verdict]);
        }
    }
    commands.push(format!("kill -9 PID; factum serve  # {KILLS} times"));
    Ok(Section { title: "Opening after kill -9".to_owned(), body, commands })
}

/// Times of opening, with what the page cache held.
type Times = [(&'static str, Vec<f64>); 2];

fn kills(
    ground: &Ground<'_>,
    data: &Path,
    gib: u64,
    commands: &mut Vec<String>,
) -> Result<Times, Failure> {
    let mut server = Server::begin(data)?;
    answered(&server, Instant::now())?;
    commands.push(ground.fill(server.kafka, (gib << 30) / RECORD_BYTES)?);
    let mut times: Times = [("warm", Vec::new()), ("cold", Vec::new())];
    for kill in 1..=KILLS {
        for (cache, times) in &mut times {
            eprintln!("   {gib} GiB, {cache}, kill {kill}");
            let acknowledged = write(ground, server.kafka)?;
            drop(server);
            // Without leave to drop the page cache, both rows are warm; the first one says so.
            if *cache == "cold" && page_cache::drop_all().is_err() {
                *cache = "warm: dropping it is refused";
            }
            let begin = Instant::now();
            server = Server::begin(data)?;
            let end = answered(&server, begin)?;
            times.push(begin.elapsed().as_secs_f64());
            if end < acknowledged {
                return Err(Failure::Found(format!(
                    "{acknowledged} records were acknowledged before kill -9, {end} are there"
                )));
            }
        }
    }
    Ok(times)
}

/// Lets a client write, and comes back in the midst of it with the end that was readable.
fn write(ground: &Ground<'_>, broker: SocketAddr) -> Result<i64, Failure> {
    let size = RECORD_BYTES.to_string();
    let arguments = ["produce", "--record-size", &size, "--seconds", "600", "--warmup", "0"];
    let mut ask = EndOffset::new(connect(broker, Instant::now())?)?;
    let first = ask.of(TOPIC)?;
    let mut load = ground.client.start(broker, &arguments)?;
    let begin = Instant::now();
    loop {
        let end = ask.of(TOPIC)?;
        if end >= first + BETWEEN_KILLS {
            return Ok(end);
        }
        if !load.is_running() || begin.elapsed() > PATIENCE {
            return Err(Failure::Found(format!("the load stopped at offset {end}")));
        }
    }
}

/// The end of the topic, as soon as the server says it; -1 where there is no such topic yet.
fn answered(server: &Server, begin: Instant) -> Result<i64, Failure> {
    EndOffset::new(connect(server.kafka, begin)?)?.of(TOPIC)
}

fn free_gib(directory: &Path) -> Result<u64, Failure> {
    let mut df = program("df");
    let printed = crate::step::output(df.args(["--output=avail", "-B1G"]).arg(directory))?;
    let last = printed.lines().last().and_then(|line| line.trim().parse().ok());
    last.ok_or_else(|| Failure::Found(format!("df printed {printed:?}, and no number")))
}
