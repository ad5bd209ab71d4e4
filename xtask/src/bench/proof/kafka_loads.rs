//! Producing, consuming and latency, beside Apache Kafka: as it ships, which acknowledges what is in
//! the page cache, and with a flush before each acknowledgement, which is what Factum promises.

use super::Ground;
use crate::bench::broker::{Broker, Kind};
use crate::bench::client::shown;
use crate::bench::kafka;
use crate::bench::ratio::{Aim, Pair, compare};
use crate::bench::report::{Section, row};
use crate::step::{self, Failure, program};

/// Long enough for Java to have compiled what runs often; the same for all.
const WARM_UP_SECONDS: &str = "5";

const HEAD: &str = "Each broker alone, in turn, with a data directory of its own, after a \
    warm-up of 5 s of producing, of reading that back, and again of the latency's own load; one partition, acks=all, the same client on \
    librdkafka. Kafka as it ships acknowledges what is in the page cache, and loses it with the \
    machine; with flush.messages=1 (`log.flush.interval.messages=1`) it promises what Factum \
    promises. Ratios are Factum to Kafka: above 1 is more throughput, and longer latency. The \
    client of the latency sends each record by itself; a broker that flushes fewer than 1,000 times \
    a second does not keep up, and its latency grows with the length of the run.\n\n\
    | | Factum | Kafka | ratio | of the pairs | Kafka, flush.messages=1 | ratio | of the pairs |\n\
    |---|---:|---:|---:|---:|---:|---:|---:|\n";

/// Name of a number, and its digits behind the point.
const NUMBERS: [(&str, usize); 6] = [
    ("produce 1 KiB, MiB/s", 1),
    ("produce 100 B, MiB/s", 1),
    ("consume 1 KiB, MiB/s", 1),
    ("1,000/s of 1 KiB, due to acknowledged, p50, ms", 3),
    ("p99, ms", 3),
    ("p99.9, ms", 3),
];

/// One run of everything against one broker, in the order of `NUMBERS`.
type Numbers = [f64; NUMBERS.len()];

/// Runs the same loads against all three.
pub(crate) fn kafka_loads(ground: &Ground<'_>) -> Result<Section, Failure> {
    let loads = Loads::new(ground);
    let mut rounds: Vec<[Numbers; Kind::ALL.len()]> = Vec::new();
    for round in 1..=ground.rounds {
        let mut numbers = [[f64::NAN; NUMBERS.len()]; Kind::ALL.len()];
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            eprintln!("   {}, round {round}", kind.name());
            numbers[at] = loads.run(ground, kind)?;
        }
        rounds.push(numbers);
    }
    let mut body = HEAD.to_owned();
    for (number, (name, decimals)) in NUMBERS.into_iter().enumerate() {
        let beside = |kafka: usize| {
            let pair = |round: &[Numbers; 3]| Pair {
                reference: round[kafka][number],
                measured: round[0][number],
            };
            let pairs: Vec<Pair> = rounds.iter().map(pair).collect();
            compare(&pairs).cells(decimals, Aim::None)
        };
        let [ships, factum, ratio, spread, _] = beside(1);
        let [flushing, _, flushing_ratio, flushing_spread, _] = beside(2);
        let cells =
            [name, &factum, &ships, &ratio, &spread, &flushing, &flushing_ratio, &flushing_spread];
        row(&mut body, &cells);
    }
    let mut commands = kafka::shown();
    commands.extend(loads.all().iter().map(|load| shown(&words(load))));
    Ok(Section { title: "Loads, beside Apache Kafka".to_owned(), body, commands })
}

/// The loads, as arguments of the client, in the order in which they run.
struct Loads {
    warm_up: [Vec<String>; 2],
    latency: Vec<String>,
    produce: [Vec<String>; 2],
    fill: Vec<String>,
    consume: Vec<String>,
}

impl Loads {
    fn new(ground: &Ground<'_>) -> Self {
        let seconds = ground.seconds.to_string();
        let records = ground.read_records().to_string();
        let load = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let produce = |topic, size| {
            load(&["produce", "--topic", topic, "--record-size", size, "--seconds", &seconds])
        };
        Self {
            warm_up: [
                load(&["produce", "--topic", "warm-up", "--seconds", WARM_UP_SECONDS]),
                load(&["consume", "--topic", "warm-up", "--seconds", WARM_UP_SECONDS]),
            ],
            latency: load(&[
                "latency",
                "--topic",
                "latency",
                "--record-size",
                "1024",
                "--rate",
                "1000",
                "--warmup",
                WARM_UP_SECONDS,
                "--seconds",
                &seconds,
            ]),
            produce: [produce("large", "1024"), produce("small", "100")],
            fill: load(&["produce", "--topic", "read", "--records", &records]),
            consume: load(&["consume", "--topic", "read", "--seconds", "3600"]),
        }
    }

    fn all(&self) -> [&Vec<String>; 7] {
        let ([write, read], [large, small]) = (&self.warm_up, &self.produce);
        [write, read, &self.latency, large, small, &self.fill, &self.consume]
    }

    /// Runs them against a fresh broker.
    fn run(&self, ground: &Ground<'_>, kind: Kind) -> Result<Numbers, Failure> {
        let mut broker = Broker::new(kind, ground.directory, kafka::required(ground.kafka)?)?;
        let begin = broker.start()?;
        broker.connect(begin)?;
        let run = |load: &Vec<String>| {
            let ran = ground.client.run(broker.address, &words(load))?;
            // What is still in the page cache would be written during the next measurement.
            step::output(&mut program("sync"))?;
            Ok::<_, Failure>(ran)
        };
        for load in &self.warm_up {
            run(load)?;
        }
        let latency = run(&self.latency)?;
        let large = run(&self.produce[0])?.number("mib_per_second")?;
        let small = run(&self.produce[1])?.number("mib_per_second")?;
        run(&self.fill)?;
        let consume = run(&self.consume)?.number("mib_per_second")?;
        let [p50, p99, p999] = ["p50_ms", "p99_ms", "p999_ms"].map(|name| latency.number(name));
        Ok([large, small, consume, p50?, p99?, p999?])
    }
}

fn words(load: &[String]) -> Vec<&str> {
    load.iter().map(String::as_str).collect()
}
