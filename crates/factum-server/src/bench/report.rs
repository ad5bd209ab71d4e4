//! What a measurement found, for people as tables and bars, for programs as JSON.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::cluster::Topic;
use super::histogram::{Percentiles, Row, draw, rows, short};
use super::{consume, load};
use crate::cli::terminal::{BOLD, DIM, GOOD, WARN};
use crate::cli::{CliError, Colors, Table, Terminal, table::grouped};

const MIB: f64 = (1 << 20) as f64;

/// A measurement.
#[derive(Debug, Serialize)]
pub struct Report {
    bench: &'static str,
    bootstrap: String,
    topic: String,
    partitions: usize,
    settings: BTreeMap<&'static str, String>,
    /// Records that count: acknowledged, or read; with acks=0, sent.
    records: u64,
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    mib_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<Sent>,
    errors: BTreeMap<String, u64>,
    latencies: Vec<Latency>,
}

/// What became of what was sent.
#[derive(Debug, Serialize)]
struct Sent {
    records: u64,
    acknowledged: u64,
    not_acknowledged: u64,
    warmup: u64,
    acks: i16,
}

/// One kind of latency, in milliseconds.
#[derive(Debug, Serialize)]
struct Latency {
    of: &'static str,
    count: u64,
    #[serde(flatten)]
    percentiles: Percentiles,
    histogram: Vec<Row>,
}

impl Latency {
    fn new(of: &'static str, histogram: &Histogram<u64>) -> Option<Self> {
        let percentiles = Percentiles::of(histogram)?;
        Some(Self { of, count: histogram.len(), percentiles, histogram: rows(histogram) })
    }
}

impl Report {
    /// Of a load; `seen` are the end-to-end latencies, and how many records were not seen.
    pub fn produced(
        bench: &'static str,
        bootstrap: &str,
        topic: &Topic,
        plan: &load::Plan,
        outcome: &load::Outcome,
        seen: Option<&(Histogram<u64>, u64)>,
    ) -> Self {
        let records = if plan.acks == 0 { outcome.sent } else { outcome.acknowledged };
        let elapsed = outcome.span.map_or(Duration::ZERO, |(from, to)| to - from);
        let mut errors = outcome.errors.clone();
        if let Some((_, missing)) = seen.filter(|(_, missing)| *missing > 0) {
            errors.insert("acknowledged, but not seen by the consumer".to_owned(), *missing);
        }
        let ack = if plan.rate.is_some() { "due to acknowledged" } else { "sent to acknowledged" };
        let latencies = [
            Latency::new(ack, &outcome.latency),
            seen.and_then(|(latency, _)| Latency::new("due to read by a consumer", latency)),
            Latency::new("this program's own delay", &outcome.late),
        ];
        let not_acknowledged = if plan.acks == 0 { 0 } else { outcome.lost };
        let sent = Sent {
            records: outcome.sent,
            acknowledged: outcome.acknowledged,
            not_acknowledged,
            warmup: outcome.warmup,
            acks: plan.acks,
        };
        Self {
            sent: Some(sent),
            errors,
            latencies: latencies.into_iter().flatten().collect(),
            settings: settings(plan),
            ..Self::new(
                bench,
                bootstrap,
                topic,
                records,
                records * plan.record_bytes as u64,
                elapsed,
            )
        }
    }

    /// Of a reader.
    pub fn consumed(
        bootstrap: &str,
        topic: &Topic,
        plan: &consume::Plan,
        outcome: &consume::Outcome,
    ) -> Self {
        let settings = BTreeMap::from([
            ("connections", plan.connections.to_string()),
            ("fetch_size", plan.partition_bytes.to_string()),
        ]);
        Self {
            settings,
            latencies: Latency::new("a request for records", &outcome.latency)
                .into_iter()
                .collect(),
            ..Self::new(
                "consume",
                bootstrap,
                topic,
                outcome.records,
                outcome.bytes,
                outcome.elapsed,
            )
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    fn new(
        bench: &'static str,
        bootstrap: &str,
        topic: &Topic,
        records: u64,
        bytes: u64,
        elapsed: Duration,
    ) -> Self {
        let seconds = elapsed.as_secs_f64();
        let per_second = |amount: u64| if seconds > 0.0 { amount as f64 / seconds } else { 0.0 };
        Self {
            bench,
            bootstrap: bootstrap.to_owned(),
            topic: topic.name.to_string(),
            partitions: topic.partitions(),
            settings: BTreeMap::new(),
            records,
            bytes,
            seconds,
            records_per_second: per_second(records),
            mib_per_second: per_second(bytes) / MIB,
            sent: None,
            errors: BTreeMap::new(),
            latencies: Vec::new(),
        }
    }

    /// Prints it.
    pub fn show(&self, terminal: &Terminal) -> Result<(), CliError> {
        if terminal.json() {
            terminal.say_json(self)
        } else {
            terminal.say(self.text(terminal.colors))
        }
    }

    /// An error if something was sent and not acknowledged.
    pub fn verdict(&self) -> Result<(), CliError> {
        let missed = |sent: &Sent| {
            sent.not_acknowledged > 0 || (sent.acks != 0 && sent.acknowledged < sent.records)
        };
        if self.errors.is_empty() && !self.sent.as_ref().is_some_and(missed) {
            return Ok(());
        }
        let first = self.errors.keys().next().map_or("no answer", String::as_str);
        let count = self.sent.as_ref().map_or(0, |sent| sent.not_acknowledged);
        let text = format!("{} records were not acknowledged: {first}", grouped(count));
        Err(CliError::failed("not-acknowledged", text))
    }

    fn text(&self, colors: Colors) -> String {
        let mut text = format!(
            "{} {} on {}, {} with {} {}\n",
            colors.paint(BOLD, "bench"),
            colors.paint(BOLD, self.bench),
            self.bootstrap,
            self.topic,
            self.partitions,
            if self.partitions == 1 { "partition" } else { "partitions" },
        );
        let settings: Vec<String> =
            self.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.push_str(&format!("{}\n\n", colors.paint(DIM, settings.join(" "))));
        text.push_str(&self.throughput(colors));
        if !self.latencies.is_empty() {
            text.push_str(&format!("\n{}\n", self.percentiles(colors)));
        }
        if let Some(latency) = self.latencies.first() {
            text.push_str(&format!("\n{}\n", colors.paint(BOLD, latency.of)));
            text.push_str(&draw(&latency.histogram).join("\n"));
        }
        text
    }

    fn throughput(&self, colors: Colors) -> String {
        let mut line = format!(
            "{} records/s   {:.1} MiB/s   {} records in {:.2} s\n",
            colors.paint(BOLD, grouped(whole(self.records_per_second))),
            self.mib_per_second,
            grouped(self.records),
            self.seconds,
        );
        let Some(sent) = &self.sent else { return line };
        if sent.warmup > 0 {
            let text = format!("{} records of the warm-up are not counted\n", grouped(sent.warmup));
            line.push_str(&colors.paint(DIM, text));
        }
        if sent.acks == 0 {
            line.push_str("acks=0: sent, and nothing is known of whether it arrived\n");
        } else if sent.not_acknowledged == 0 && sent.acknowledged == sent.records {
            let text = format!("all {} records were acknowledged", grouped(sent.acknowledged));
            line.push_str(&format!("{}\n", colors.paint(GOOD, text)));
        } else {
            let text = format!(
                "{} of {} records were acknowledged, {} were not",
                grouped(sent.acknowledged),
                grouped(sent.records),
                grouped(sent.not_acknowledged)
            );
            line.push_str(&format!("{}\n", colors.paint(WARN, text)));
        }
        for (error, count) in &self.errors {
            let text = format!("{} × {error}", grouped(*count));
            line.push_str(&format!("{}\n", colors.paint(WARN, text)));
        }
        line
    }

    fn percentiles(&self, colors: Colors) -> Table {
        let headings = ["latency in ms", ">mean", ">p50", ">p95", ">p99", ">p99.9", ">max"];
        let mut table = Table::new(colors, &headings);
        for latency in &self.latencies {
            let p = &latency.percentiles;
            let values = [p.mean, p.p50, p.p95, p.p99, p.p999, p.max].map(short);
            let mut row: Vec<&dyn Display> = vec![&latency.of];
            row.extend(values.iter().map(|value| value as &dyn Display));
            table.row(row);
        }
        table
    }
}

fn settings(plan: &load::Plan) -> BTreeMap<&'static str, String> {
    let mut settings = BTreeMap::from([
        ("acks", if plan.acks < 0 { "all".to_owned() } else { plan.acks.to_string() }),
        ("batch_records", plan.batch_records.to_string()),
        ("compression", plan.codec.to_string()),
        ("connections", plan.connections.to_string()),
        ("in_flight", plan.in_flight.to_string()),
        ("linger_ms", plan.linger.as_millis().to_string()),
        ("record_size", plan.record_bytes.to_string()),
    ]);
    if let Some(rate) = plan.rate {
        settings.insert("rate", rate.to_string());
    }
    settings
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, not negative")]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use factum_event::batch::Codec;
    use factum_wire::Str;

    use super::super::histogram::new_histogram;
    use super::*;

    fn report(lost: u64, rate: Option<f64>) -> Report {
        let topic = Topic {
            name: Str::from_static("t"),
            leaders: BTreeMap::from([("a:1".to_owned(), vec![0])]),
        };
        let plan = load::Plan {
            records: Some(1000),
            duration: None,
            warmup: Duration::ZERO,
            rate,
            record_bytes: 1024,
            batch_records: 10,
            linger: Duration::ZERO,
            codec: Codec::None,
            connections: 1,
            in_flight: 5,
            acks: -1,
            remember: false,
        };
        let (mut latency, from) = (new_histogram(), Instant::now());
        latency.record_n(2000, 1000 - lost).unwrap();
        let errors =
            if lost > 0 { BTreeMap::from([("NOT_LEADER".to_owned(), 1)]) } else { BTreeMap::new() };
        let outcome = load::Outcome {
            sent: 1000,
            acknowledged: 1000 - lost,
            warmup: 0,
            lost,
            latency,
            late: new_histogram(),
            errors,
            span: Some((from, from + Duration::from_secs(2))),
            batches: Vec::new(),
        };
        Report::produced("produce", "a:1", &topic, &plan, &outcome, None)
    }

    #[test]
    fn a_report_has_rates_percentiles_and_a_histogram() {
        let text = report(0, None).text(Colors::OFF);
        for part in
            ["500 records/s", "0.5 MiB/s", "all 1,000 records were acknowledged", "p99.9", "█"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let json = serde_json::to_value(report(0, Some(500.0))).unwrap();
        assert_eq!(json["records_per_second"], 500.0);
        assert_eq!(json["sent"]["acknowledged"], 1000);
        assert_eq!(json["latencies"][0]["of"], "due to acknowledged");
        assert!(json["latencies"][0]["p999"].as_f64().unwrap() >= 2.0);
    }

    #[test]
    fn what_was_not_acknowledged_is_a_failure() {
        assert!(report(0, None).verdict().is_ok());
        let error = report(3, None).verdict().unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(
            error.to_string().contains("3 records") && error.to_string().contains("NOT_LEADER"),
            "{error}"
        );
        assert!(report(3, None).text(Colors::OFF).contains("1 × NOT_LEADER"));
    }
}
