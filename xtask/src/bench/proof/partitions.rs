//! Ten thousand partitions beside one.

use super::Ground;
use crate::bench::client::shown;
use crate::bench::load;
use crate::bench::process::peak_bytes;
use crate::bench::ratio::{Aim, Pair, compare};
use crate::bench::report::{Section, row};
use crate::bench::server::Server;
use crate::step::Failure;

const AIM: Aim = Aim::AtLeast(0.7);
const MOST_MIB: f64 = 300.0;

/// What `factum bench` sends: with one partition in full batches, with many in smaller ones, of
/// which a request has one for each of many partitions.
const ONE: [&str; 4] = ["--partitions", "1", "--batch-size", "1MiB"];
const MANY: [&str; 4] = ["--partitions", "10000", "--batch-size", "16KiB"];

/// Records of 1 KiB to 10,000 partitions in turn, beside the same records into one partition.
///
/// By two clients. librdkafka lingers for a second with many partitions: otherwise it sends a
/// request for every record. Even so it measures itself there, as the null broker shows; so the
/// aim is for `factum bench`, which costs the same however many partitions there are.
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
    let (mut own, mut null, mut factum, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut commands = Vec::new();
    for round in 1..=ground.rounds {
        eprintln!("   pair {round}");
        let (command_of_one, reference, _) = by_bench(ground, &ONE)?;
        let (command_of_many, measured, of_bench) = by_bench(ground, &MANY)?;
        own.push(Pair { reference, measured });
        commands = vec![command_of_one, command_of_many];
        let reference = ground.factum(&one, "mib_per_second")?;
        let server = Server::start(ground.directory)?;
        let measured = ground.client.run(server.kafka, &many)?.number("mib_per_second")?;
        peak = peak.max(of_bench).max(peak_bytes(server.process())?);
        drop(server);
        factum.push(Pair { reference, measured });
        null.push(Pair {
            reference: ground.null(&one, "mib_per_second")?,
            measured: ground.null(&many, "mib_per_second")?,
        });
    }
    let mut body = String::from(
        "Records of 1 KiB to each partition in turn, by two clients. librdkafka with so many \
         partitions measures itself, as the null broker shows; the aim is for `factum bench`, which \
         sends batches of 16 KiB to 10,000 partitions and of 1 MiB to one.\n\n\
         | MiB/s of values | 1 partition | 10,000 partitions | ratio | of the pairs | aim |\n\
         |---|---:|---:|---:|---:|---|\n",
    );
    for (what, pairs, aim) in [
        ("Factum, `factum bench`", &own, AIM),
        ("Factum, librdkafka", &factum, Aim::None),
        ("null, librdkafka", &null, Aim::None),
    ] {
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
    commands.extend([shown(&one), shown(&many)]);
    Ok(Section { title: "Producing, 10,000 partitions".to_owned(), body, commands })
}

/// A run of `factum bench` against a server with a data directory of its own: the command, its
/// rate, and the most memory of the server.
fn by_bench(ground: &Ground<'_>, load: &[&str]) -> Result<(String, f64, u64), Failure> {
    let server = Server::start(ground.directory)?;
    let duration = format!("{}s", ground.seconds + 1);
    let span = ["--record-size", "1024", "--warmup", "1s", "--duration", &duration];
    let (command, found) = load::run(&server, "produce", &[&span[..], load].concat())?;
    let rate = found["mib_per_second"].as_f64().ok_or_else(|| {
        Failure::Found(format!("{command} printed {found}, without a number mib_per_second"))
    })?;
    Ok((command, rate, peak_bytes(server.process())?))
}
