//! What retention and compaction cost those who write meanwhile.

use super::Ground;
use crate::bench::client::shown;
use crate::bench::ratio::{Aim, Pair, compare, median};
use crate::bench::report::{Section, row};
use crate::bench::server::Server;
use crate::step::{self, Failure, program};

/// What is kept of a topic into which 20 MiB/s are written meanwhile.
const KEPT: [(&str, &[&str]); 2] = [
    ("retention", &["retention.bytes=33554432", "segment.bytes=16777216"]),
    (
        "compaction",
        &["cleanup.policy=compact", "segment.bytes=16777216", "min.cleanable.dirty.ratio=0.01"],
    ),
];

/// The p99 of acknowledgements while old records are removed, beside the p99 while as much is
/// written and nothing is removed.
pub(crate) fn maintenance(ground: &Ground<'_>) -> Result<Section, Failure> {
    let mut section = Section {
        title: "Retention and compaction beside producers".to_owned(),
        body: "1,000 records/s of 1 KiB, from when each was due to its acknowledgement, while \
               20,000 records/s go into another topic of which all, the last 32 MiB, or the last \
               record of each of 10,000 keys is kept.\n\n\
               | p99, ms | all is kept | beside it | ratio | of the pairs | MiB on the disk |\n\
               |---|---:|---:|---:|---:|---:|\n"
            .to_owned(),
        ..Section::default()
    };
    for (what, configs) in KEPT {
        let (mut pairs, mut disk) = (Vec::new(), Vec::new());
        for round in 1..=ground.rounds {
            eprintln!("   {what}, pair {round}");
            let all = p99(ground, &[], &mut section.commands)?;
            let Some((reference, _)) = all else {
                return Err(Failure::Found("a topic without settings was refused".to_owned()));
            };
            let Some((measured, mib)) = p99(ground, configs, &mut section.commands)? else { break };
            pairs.push(Pair { reference, measured });
            disk.push(mib);
        }
        if pairs.is_empty() {
            row(
                &mut section.body,
                &[what, "not measured: the writer stopped; are the settings refused?"],
            );
            continue;
        }
        let [reference, measured, ratio, spread, _] = compare(&pairs).cells(3, Aim::None);
        let disk = format!("{:.0}", median(disk));
        row(&mut section.body, &[what, &reference, &measured, &ratio, &spread, &disk]);
    }
    Ok(section)
}

/// p99 in milliseconds, and MiB of data at the end; none where the settings are refused.
fn p99(
    ground: &Ground<'_>,
    configs: &[&str],
    commands: &mut Vec<String>,
) -> Result<Option<(f64, f64)>, Failure> {
    let seconds = ground.seconds.to_string();
    let mut beside = vec!["produce", "--topic", "beside", "--rate", "20000", "--keys", "10000"];
    beside.extend(["--seconds", "3600"]);
    beside.extend(configs.iter().flat_map(|config| ["--config", config]));
    let latency = ["latency", "--rate", "1000", "--warmup", "5", "--seconds", &seconds];
    for command in [shown(&beside), shown(&latency)] {
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    let server = Server::start(ground.directory)?;
    let mut load = ground.client.start(server.kafka, &beside)?;
    let measured = ground.client.run(server.kafka, &latency)?.number("p99_ms")?;
    if !load.is_running() {
        return Ok(None);
    }
    let mut du = program("du");
    let printed = step::output(du.arg("-sm").arg(ground.directory.join("data")))?;
    let mib = printed.split_whitespace().next().and_then(|mib| mib.parse().ok());
    let mib = mib.ok_or_else(|| Failure::Found(format!("du printed {printed:?}")))?;
    Ok(Some((measured, mib)))
}
