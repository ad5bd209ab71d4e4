//! How long an acknowledgement takes, beside the least it can take.

use std::time::Duration;

use super::Ground;
use crate::bench::client::shown;
use crate::bench::null::NullBroker;
use crate::bench::ratio::{Aim, Pair, compare, median};
use crate::bench::report::{Section, row};
use crate::bench::server::Server;
use crate::bench::{disk, loopback};
use crate::step::Failure;

const P50_AIM: Aim = Aim::AtMost(2.0);
const P99_AIM: Aim = Aim::AtMost(4.0);

const PER_SECOND: u32 = 1000;

/// 1,000 records/s of 1 KiB in an open loop, from when each was due, beside as many appends of
/// 4 KiB with fdatasync, each with a round trip over the loopback added.
pub(crate) fn latency(ground: &Ground<'_>) -> Result<Section, Failure> {
    let (seconds, rate) = (ground.seconds.to_string(), PER_SECOND.to_string());
    let arguments = ["latency", "--record-size", "1024", "--rate", &rate, "--seconds", &seconds];
    let mut factum = [Vec::new(), Vec::new()];
    let mut null = [Vec::new(), Vec::new()];
    let mut direct = [Vec::new(), Vec::new()];
    for round in 1..=ground.rounds {
        eprintln!("   pair {round}");
        let span = Duration::from_secs(ground.seconds);
        let flush = disk::paced(ground.directory, PER_SECOND, span)?;
        let trip = loopback::round_trip()?;
        let least = [millis(flush.p50 + trip.0), millis(flush.p99 + trip.1)];
        let server = Server::start(ground.directory)?;
        let durable = ground.client.run(server.kafka, &arguments)?;
        drop(server);
        let broker = NullBroker::serve(&[])?;
        let forgotten = ground.client.run(broker.address, &arguments)?;
        for (at, name) in ["p50_ms", "p99_ms"].into_iter().enumerate() {
            let reference = least[at];
            factum[at].push(Pair { reference, measured: durable.number(name)? });
            null[at].push(Pair { reference, measured: forgotten.number(name)? });
        }
        // For comparison only, and refused by some file systems.
        if let Ok(flush) = disk::direct(ground.directory) {
            direct[0].push(millis(flush.p50));
            direct[1].push(millis(flush.p99));
        }
    }
    let mut body = String::from(
        "From when a record was due to its acknowledgement, 1,000 records/s of 1 KiB. The \
         reference is 4 KiB appended to a file with fdatasync, at the same pace and for the same \
         time, plus a round trip over the loopback; its p99 is the sum of both.\n\n\
         | ms | reference | Factum | ratio | of the pairs | aim |\n\
         |---|---:|---:|---:|---:|---|\n",
    );
    for (at, (name, aim)) in [("p50", P50_AIM), ("p99", P99_AIM)].into_iter().enumerate() {
        let [reference, measured, ratio, spread, verdict] = compare(&factum[at]).cells(3, aim);
        row(&mut body, &[name, &reference, &measured, &ratio, &spread, &verdict]);
    }
    body.push_str("\n| beside it, ms | p50 | p99 |\n|---|---:|---:|\n");
    let null = null.map(|pairs| format!("{:.3}", compare(&pairs).measured));
    row(&mut body, &["the same client and a broker that forgets", &null[0], &null[1]]);
    let direct = direct.map(|times| format!("{:.3}", median(times)));
    let what = "4 KiB with fdatasync, `O_DIRECT` into room written before";
    row(&mut body, &[what, &direct[0], &direct[1]]);
    let commands = vec![shown(&arguments)];
    Ok(Section { title: "Acknowledgement latency".to_owned(), body, commands })
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
