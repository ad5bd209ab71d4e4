//! BENCHMARKS.md: every number with the command that gave it.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use super::disk::{Disk, Flushes};
use super::load::{Load, Run};
use super::loopback::Loopback;
use super::server::Footprint;

const MIB: f64 = (1 << 20) as f64;

/// The whole document.
pub(crate) fn markdown(
    seconds: u64,
    machine: &[(&'static str, String)],
    footprint: &Footprint,
    disk: &Disk,
    loopback: &Loopback,
    loads: &[Load],
) -> String {
    let mut text = String::from("# Benchmarks\n\n");
    text.push_str(&format!(
        "Written by `cargo xtask bench --seconds {seconds}`. Client and server share the machine \
         and its cores. Every acknowledgement comes after a flush to the disk (fdatasync); \
         `factum bench` sends on schedule where a rate is given, so that a stall counts against \
         every record that was due meanwhile.\n\n"
    ));
    text.push_str("| machine | |\n|---|---|\n");
    for (label, value) in machine {
        row(&mut text, &[label, value]);
    }
    text.push_str(&floor(disk, loopback));
    text.push_str(&at_rest(footprint));
    for load in loads {
        text.push_str(&section(load));
    }
    text.push_str(&commands(disk, loads));
    text
}

fn at_rest(footprint: &Footprint) -> String {
    let mut text = String::from("\n## At rest\n\n| | |\n|---|---:|\n");
    let connection = millis(footprint.connection);
    row(&mut text, &["start to first accepted connection (median of 11)", &connection]);
    row(&mut text, &["start to first answered request (`/readyz`)", &millis(footprint.answer)]);
    row(&mut text, &["resident memory, idle", &mib(bytes(footprint.idle_bytes))]);
    row(&mut text, &["size of the binary", &mib(bytes(footprint.binary_bytes))]);
    text
}

fn floor(disk: &Disk, loopback: &Loopback) -> String {
    let mut text = String::from("\n## What the machine gives\n\n| | |\n|---|---:|\n");
    for writes in &disk.writes {
        let flush = if writes.flush_every == 0 { "one at the end" } else { "after each block" };
        let what = format!("fio: sequential write, {}iB blocks, fdatasync {flush}", writes.block);
        row(&mut text, &[&what, &format!("{}/s", mib(writes.bytes_per_second))]);
    }
    if disk.writes.is_empty() {
        row(&mut text, &["fio: sequential write", "not measured: fio is not installed"]);
    }
    let times = |flushes: &Flushes| format!("{} / {}", millis(flushes.p50), millis(flushes.p99));
    let growing = times(&disk.growing);
    row(&mut text, &["4 KiB with fdatasync, a file that grows, p50 / p99", &growing]);
    let not_measured = || "not measured: fallocate is not installed".to_owned();
    let allocated = disk.allocated.as_ref().map_or_else(not_measured, times);
    row(&mut text, &["the same, room allocated before, as the journal does", &allocated]);
    let rate = format!("{}/s", mib(loopback.bytes_per_second));
    row(&mut text, &["loopback TCP, one direction, 64 KiB blocks", &rate]);
    let trip = format!("{} / {}", millis(loopback.round_trip_p50), millis(loopback.round_trip_p99));
    row(&mut text, &["loopback TCP, round trip of 100 B, p50 / p99", &trip]);
    text
}

fn section(load: &Load) -> String {
    let plural = if load.partitions == 1 { "" } else { "s" };
    let (size, partitions) = (load.record_bytes, load.partitions);
    let mut text = format!(
        "\n## {size} B records, {partitions} partition{plural}\n\n\
         | | records/s | MiB/s | latency in ms of | p50 | p95 | p99 | p99.9 | max |\n\
         |---|---:|---:|---|---:|---:|---:|---:|---:|\n"
    );
    for run in &load.runs {
        rows_of(run, &mut text);
    }
    text
}

/// One row per kind of latency; what this program itself delayed is no property of the server.
fn rows_of(run: &Run, text: &mut String) {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let rate = format!("{:.0}", number(&run.found["records_per_second"]));
    let volume = format!("{:.1}", number(&run.found["mib_per_second"]));
    let (mut what, mut rate, mut volume) = (run.what.as_str(), rate.as_str(), volume.as_str());
    for latency in run.found["latencies"].as_array().into_iter().flatten() {
        let of = latency["of"].as_str().unwrap_or_default();
        if of.starts_with("this program") {
            continue;
        }
        let at = |name: &str| format!("{:.2}", number(&latency[name]));
        let [p50, p95, p99, p999, max] = ["p50", "p95", "p99", "p999", "max"].map(at);
        row(text, &[what, rate, volume, of, &p50, &p95, &p99, &p999, &max]);
        (what, rate, volume) = ("", "", "");
    }
}

fn commands(disk: &Disk, loads: &[Load]) -> String {
    let mut text = String::from(
        "\n## Commands\n\nEach load runs against `factum serve` with a data directory of its own; \
         the two latencies share one.\n\n```sh\n",
    );
    let runs = loads.iter().flat_map(|load| &load.runs).map(|run| &run.command);
    for command in disk.writes.iter().map(|writes| &writes.command).chain(runs) {
        text.push_str(command);
        text.push('\n');
    }
    text.push_str("```\n");
    text
}

fn row(text: &mut String, cells: &[&str]) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

fn mib(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / MIB)
}

#[expect(clippy::cast_precision_loss, reason = "sizes for people")]
fn bytes(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_measurement_becomes_a_row_for_each_latency_of_the_server() {
        let latency =
            |of: &str| json!({"of": of, "p50": 1.5, "p95": 2, "p99": 3, "p999": 4, "max": 5});
        let found = json!({
            "records_per_second": 1234.4,
            "mib_per_second": 0.56,
            "latencies": [latency("due to acknowledged"), latency("this program's own delay")],
        });
        let run = Run { what: "produce".to_owned(), command: "factum".to_owned(), found };
        let text = section(&Load { record_bytes: 100, partitions: 1, runs: vec![run] });
        let expected =
            "| produce | 1234 | 0.6 | due to acknowledged | 1.50 | 2.00 | 3.00 | 4.00 | 5.00 |";
        assert_eq!(text.lines().last(), Some(expected));
    }
}
