//! BENCHMARKS.md: every number with the command that gave it.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use super::MIB;
use super::disk::{Disk, Flushes};
use super::load::{Load, Run};
use super::loopback::Loopback;
use super::server::Footprint;

/// A part of the document: what was measured, and by which commands.
#[derive(Debug, Default)]
pub(crate) struct Section {
    /// Its heading.
    pub title: String,
    /// Text and tables, in Markdown.
    pub body: String,
    /// What a person would type, in the order it ran.
    pub commands: Vec<String>,
}

/// The whole document; `how` is how it was asked for.
pub(crate) fn markdown(
    how: &str,
    machine: &[(&'static str, String)],
    sections: &[Section],
) -> String {
    let mut text = String::from("# Benchmarks\n\n");
    text.push_str(&format!(
        "Written by `{how}`. Client and server share the machine and its cores. Every \
         acknowledgement comes after a flush to the disk (fdatasync); where a rate is given, \
         clients send on schedule, so that a stall counts against every record that was due \
         meanwhile.\n\n"
    ));
    text.push_str("| machine | |\n|---|---|\n");
    for (label, value) in machine {
        row(&mut text, &[label, value]);
    }
    for section in sections {
        text.push_str(&format!("\n## {}\n\n{}", section.title, section.body));
    }
    text.push_str(&commands(sections));
    text
}

/// What a server costs that does nothing.
pub(crate) fn at_rest(footprint: &Footprint) -> Section {
    let mut text = String::from("| | |\n|---|---:|\n");
    let connection = millis(footprint.connection);
    row(&mut text, &["start to first accepted connection (median of 11)", &connection]);
    row(&mut text, &["start to first answered request (`/readyz`)", &millis(footprint.answer)]);
    row(&mut text, &["resident memory, idle", &mib(bytes(footprint.idle_bytes))]);
    row(&mut text, &["size of the binary", &mib(bytes(footprint.binary_bytes))]);
    Section { title: "At rest".to_owned(), body: text, commands: Vec::new() }
}

/// What disk and loopback give.
pub(crate) fn floor(disk: &Disk, loopback: &Loopback) -> Section {
    let mut text = String::from("| | |\n|---|---:|\n");
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
    row(&mut text, &["the same, room allocated before", &allocated]);
    let refused = || "not measured: the file system refuses O_DIRECT".to_owned();
    let direct = disk.direct.as_ref().map_or_else(refused, times);
    row(&mut text, &["the same, `O_DIRECT` into room written before", &direct]);
    let rate = format!("{}/s", mib(loopback.bytes_per_second));
    row(&mut text, &["loopback TCP, one direction, 64 KiB blocks", &rate]);
    let trip = format!("{} / {}", millis(loopback.round_trip_p50), millis(loopback.round_trip_p99));
    row(&mut text, &["loopback TCP, round trip of 100 B, p50 / p99", &trip]);
    let commands = disk.writes.iter().map(|writes| writes.command.clone()).collect();
    Section { title: "What the machine gives".to_owned(), body: text, commands }
}

/// What `factum bench` found for one kind of load.
pub(crate) fn load(load: &Load) -> Section {
    let plural = if load.partitions == 1 { "" } else { "s" };
    let (size, partitions) = (load.record_bytes, load.partitions);
    let title = format!("{size} B records, {partitions} partition{plural}");
    let mut text = String::from(
        "| | records/s | MiB/s | latency in ms of | p50 | p95 | p99 | p99.9 | max |\n\
         |---|---:|---:|---|---:|---:|---:|---:|---:|\n",
    );
    for run in &load.runs {
        rows_of(run, &mut text);
    }
    let commands = load.runs.iter().map(|run| run.command.clone()).collect();
    Section { title, body: text, commands }
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

fn commands(sections: &[Section]) -> String {
    let mut text = String::from(
        "\n## Commands\n\nEach load runs against `factum serve` with a data directory of its own; \
         the two latencies of `factum bench` share one. What is measured beside Apache Kafka \
         runs against Kafka as well. Clients are told where to connect with \
         `--bootstrap`. `bench-client` is `bench/client/client.c` (`cc -O2 -o bench-client \
         bench/client/client.c -lrdkafka -lpthread`), `null-broker` is built by `cargo build \
         --release -p null-broker`.\n\n```sh\n",
    );
    for section in sections.iter().filter(|section| !section.commands.is_empty()) {
        text.push_str(&format!("# {}\n", section.title));
        for command in &section.commands {
            text.push_str(command);
            text.push('\n');
        }
    }
    text.push_str("```\n");
    text
}

/// A row of a table.
pub(crate) fn row(text: &mut String, cells: &[&str]) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// A time for people.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// A size for people.
pub(crate) fn mib(bytes: f64) -> String {
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
        let text = load(&Load { record_bytes: 100, partitions: 1, runs: vec![run] }).body;
        let expected =
            "| produce | 1234 | 0.6 | due to acknowledged | 1.50 | 2.00 | 3.00 | 4.00 | 5.00 |";
        assert_eq!(text.lines().last(), Some(expected));
    }

    #[test]
    fn every_section_is_followed_by_its_commands_at_the_end() {
        let section = |title: &str, commands: &[&str]| Section {
            title: title.to_owned(),
            body: format!("of {title}\n"),
            commands: commands.iter().map(|&command| command.to_owned()).collect(),
        };
        let sections = [section("One", &["a", "b"]), section("Two", &[])];
        let text = markdown("cargo xtask bench", &[("cores", "2".to_owned())], &sections);
        assert!(text.contains("| cores | 2 |\n\n## One\n\nof One\n\n## Two\n\nof Two\n"));
        assert!(text.ends_with("```sh\n# One\na\nb\n```\n"));
    }
}
