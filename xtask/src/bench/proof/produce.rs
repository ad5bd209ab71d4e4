//! Producing, durable, into one partition.

use super::Ground;
use crate::bench::client::shown;
use crate::bench::ratio::{Aim, Pair, compare};
use crate::bench::report::{Section, row};
use crate::step::Failure;

/// Of the rate of a broker that forgets.
const AIM: Aim = Aim::AtLeast(0.9);

/// Records of 1 KiB and of 100 B, beside a broker that acknowledges and forgets.
pub(crate) fn produce(ground: &Ground<'_>) -> Result<Section, Failure> {
    let seconds = ground.seconds.to_string();
    let mut section = Section {
        title: "Producing, one partition".to_owned(),
        body: "Beside a broker that reads the bytes, acknowledges them and forgets them; below \
               0.75 the log is not done.\n\n\
               | MiB/s of values | null | Factum | ratio | of the pairs | aim |\n\
               |---|---:|---:|---:|---:|---|\n"
            .to_owned(),
        ..Section::default()
    };
    for (what, size, idempotence) in
        [("1 KiB", "1024", false), ("100 B", "100", false), ("1 KiB, idempotent", "1024", true)]
    {
        let mut arguments = vec!["produce", "--record-size", size, "--seconds", &seconds];
        arguments.extend(idempotence.then_some("--idempotence"));
        let mut pairs = Vec::new();
        for round in 1..=ground.rounds {
            eprintln!("   {what}, pair {round}");
            pairs.push(Pair {
                reference: ground.null(&arguments, "mib_per_second")?,
                measured: ground.factum(&arguments, "mib_per_second")?,
            });
        }
        let [null, factum, ratio, spread, verdict] = compare(&pairs).cells(1, AIM);
        row(&mut section.body, &[what, &null, &factum, &ratio, &spread, &verdict]);
        section.commands.push(shown(&arguments));
    }
    Ok(section)
}
