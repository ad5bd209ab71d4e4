//! Fifty readers of one topic: the slow ones do not hold up the others (row 1.14).

use super::{Ground, RECORD_BYTES};
use crate::bench::client::shown;
use crate::bench::ratio::{Aim, Pair, compare};
use crate::bench::report::{Section, row};
use crate::bench::server::Server;
use crate::step::Failure;

/// Of the same readers without the slow ones beside them.
const AIM: Aim = Aim::AtLeast(0.95);

/// Readers as fast as they can, alone and beside others that are held back.
const ALONE_AND_BESIDE: [(&str, &str, &str); 2] = [
    ("49, and one at 1 record/s", "49x0", "49x0,1x1"),
    ("30, and twenty from 1 to 10,000 records/s", "30x0", "30x0,5x10000,5x1000,5x100,4x10,1x1"),
];

/// The rate of all unlimited readers together, without and with slow ones.
pub(crate) fn readers(ground: &Ground<'_>) -> Result<Section, Failure> {
    let (size, seconds) = (RECORD_BYTES.to_string(), ground.seconds.to_string());
    let server = Server::start(ground.directory)?;
    let mut commands = vec![ground.fill(server.kafka, ground.read_records())?];
    let mut body = String::from(
        "All readers without a limit together, from the first record on, without and with slow \
         readers of the same topic.\n\n\
         | MiB/s of values | without | with | ratio | of the pairs | aim |\n\
         |---|---:|---:|---:|---:|---|\n",
    );
    for (what, alone, beside) in ALONE_AND_BESIDE {
        let with = |rates| {
            let mut arguments = vec!["consume", "--record-size", &size, "--seconds", &seconds];
            arguments.extend([
                "--warmup",
                "3",
                "--queue-kbytes",
                "4096",
                "--fetch-bytes",
                "1048576",
            ]);
            arguments.extend(["--rates", rates]);
            arguments
        };
        let (alone, beside) = (with(alone), with(beside));
        let mut pairs = Vec::new();
        for round in 1..=ground.rounds {
            eprintln!("   {what}, pair {round}");
            let rate = |arguments: &[&str]| {
                ground.client.run(server.kafka, arguments)?.number("mib_per_second")
            };
            pairs.push(Pair { reference: rate(&alone)?, measured: rate(&beside)? });
        }
        let [reference, measured, ratio, spread, verdict] = compare(&pairs).cells(1, AIM);
        row(&mut body, &[what, &reference, &measured, &ratio, &spread, &verdict]);
        commands.extend([shown(&alone), shown(&beside)]);
    }
    Ok(Section { title: "Fifty readers".to_owned(), body, commands })
}
