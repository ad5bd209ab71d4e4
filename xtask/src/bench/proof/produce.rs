//! Producing, durable, into one partition.

use std::time::Duration;

use super::Ground;
use crate::bench::client::shown;
use crate::bench::disk;
use crate::bench::ratio::{Aim, Pair, compare};
use crate::bench::report::{Section, row};
use crate::step::Failure;

/// Of the rate of a broker that forgets.
const AIM: Aim = Aim::AtLeast(0.9);

/// How long the disk is measured by itself.
const DISK_SPAN: Duration = Duration::from_secs(2);

const HEAD: &str = "Beside a broker that reads the bytes, acknowledges them and forgets them; below \
    0.75 the log is not done. No broker can acknowledge more than the disk makes durable: that is \
    measured in every pair too, by writing 8 MiB and flushing, again and again, past the page \
    cache. So the second ratio is to the lesser of both.\n\n\
    | MiB/s of values | null | disk | Factum | of null | of the pairs | aim | of the lesser | of the pairs | aim |\n\
    |---|---:|---:|---:|---:|---:|---|---:|---:|---|\n";

/// Records of 1 KiB and of 100 B, beside a broker that acknowledges and forgets, and the disk.
pub(crate) fn produce(ground: &Ground<'_>) -> Result<Section, Failure> {
    let seconds = ground.seconds.to_string();
    let title = "Producing, one partition".to_owned();
    let mut section = Section { title, body: HEAD.to_owned(), ..Section::default() };
    for (what, size, idempotence) in
        [("1 KiB", "1024", false), ("100 B", "100", false), ("1 KiB, idempotent", "1024", true)]
    {
        let mut arguments = vec!["produce", "--record-size", size, "--seconds", &seconds];
        arguments.extend(idempotence.then_some("--idempotence"));
        let cells = beside_both(ground, what, &arguments)?;
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        row(&mut section.body, &cells);
        section.commands.push(shown(&arguments));
    }
    Ok(section)
}

/// The cells of one kind of records.
fn beside_both(
    ground: &Ground<'_>,
    what: &str,
    arguments: &[&str],
) -> Result<Vec<String>, Failure> {
    let (mut of_null, mut of_disk, mut of_lesser) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ground.rounds {
        eprintln!("   {what}, pair {round}");
        let null = ground.null(arguments, "mib_per_second")?;
        let disk = disk::durable(ground.directory, DISK_SPAN)?;
        let measured = ground.factum(arguments, "mib_per_second")?;
        let pairs = [(&mut of_null, null), (&mut of_disk, disk), (&mut of_lesser, null.min(disk))];
        for (pairs, reference) in pairs {
            pairs.push(Pair { reference, measured });
        }
    }
    let disk = format!("{:.1}", compare(&of_disk).reference);
    let [null, factum, ratio, spread, verdict] = compare(&of_null).cells(1, AIM);
    let [_, _, lesser, lesser_spread, lesser_verdict] = compare(&of_lesser).cells(1, AIM);
    let what = what.to_owned();
    Ok(vec![
        what,
        null,
        disk,
        factum,
        ratio,
        spread,
        verdict,
        lesser,
        lesser_spread,
        lesser_verdict,
    ])
}
