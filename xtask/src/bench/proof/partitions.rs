//! Ten thousand partitions beside one.

use super::Ground;
use crate::bench::client::shown;
use crate::bench::process::peak_bytes;
use crate::bench::ratio::{Aim, Pair, compare};
use crate::bench::report::{Section, row};
use crate::bench::server::Server;
use crate::step::Failure;

const AIM: Aim = Aim::AtLeast(0.7);
const MOST_MIB: f64 = 300.0;

/// Records of 1 KiB, one to each partition in turn, beside the same records into one partition.
///
/// The client lingers for a second with many partitions: otherwise it sends a request for every
/// record, and measures itself. What it loses even so, the null broker shows.
pub(crate) fn partitions(ground: &Ground<'_>) -> Result<Section, Failure> {
    let seconds = ground.seconds.to_string();
    let one = ["produce", "--record-size", "1024", "--seconds", &seconds];
    let more = [
        "--partitions",
        "10000",
        "--linger-ms",
        "1000",
        "--queue-messages",
        "1000000",
        "--warmup",
        "3",
    ];
    let many = [&one[..], &more].concat();
    let (mut null, mut factum, mut peak) = (Vec::new(), Vec::new(), 0);
    for round in 1..=ground.rounds {
        eprintln!("   pair {round}");
        let reference = ground.factum(&one, "mib_per_second")?;
        let server = Server::start(ground.directory)?;
        let measured = ground.client.run(server.kafka, &many)?.number("mib_per_second")?;
        peak = peak.max(peak_bytes(server.process())?);
        drop(server);
        factum.push(Pair { reference, measured });
        null.push(Pair {
            reference: ground.null(&one, "mib_per_second")?,
            measured: ground.null(&many, "mib_per_second")?,
        });
    }
    let mut body = String::from(
        "Records of 1 KiB, each to the next partition.\n\n\
         | MiB/s of values | 1 partition | 10,000 partitions | ratio | of the pairs | aim |\n\
         |---|---:|---:|---:|---:|---|\n",
    );
    for (what, pairs, aim) in [("Factum", &factum, AIM), ("null", &null, Aim::None)] {
        let [one, many, ratio, spread, verdict] = compare(pairs).cells(1, aim);
        row(&mut body, &[what, &one, &many, &ratio, &spread, &verdict]);
    }
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let peak = peak as f64 / super::super::MIB;
    let verdict = Aim::AtMost(MOST_MIB).verdict(peak);
    row(
        &mut body,
        &["most memory of the server, MiB", "", &format!("{peak:.0}"), "", "", &verdict],
    );
    let commands = vec![shown(&one), shown(&many)];
    Ok(Section { title: "Producing, 10,000 partitions".to_owned(), body, commands })
}
