//! Much that is there and does nothing, beside Apache Kafka: connections, groups, partitions.

mod content;

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::MIB;
use super::broker::{Broker, Kind, pause};
use super::connection::Connection;
use super::kafka::Kafka;
use super::process::{cpu_seconds, resident_bytes};
use super::ratio::median;
use super::report::{Section, row};
use crate::step::Failure;

/// What a broker does because of what was just done to it is over by then.
const SETTLING: Duration = Duration::from_secs(10);
/// How long the idle broker is watched, as a multiple of `--seconds`.
const IDLE_SPANS: u64 = 2;
/// What a broker has open beside connections and partitions: libraries, journals, its own topics.
const OTHER_FILES: u64 = 600;
/// Enough for what is asked for by default, with both kinds of broker.
const WANTED_FILES: u64 = 1 << 16;

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// In topics of a hundred.
    pub partitions: u32,
    /// With one committed offset each.
    pub groups: u32,
    /// That have asked for ApiVersions, and ask nothing since.
    pub connections: u32,
}

/// What the measurement stands on.
pub(crate) struct Bench<'a> {
    /// An empty directory on the disk that is measured.
    pub directory: &'a Path,
    /// Half of how long the idle brokers are watched.
    pub seconds: u64,
    /// How often each broker is stopped, and how often it is killed.
    pub rounds: u32,
    /// The other broker.
    pub kafka: &'a Kafka,
}

/// What was measured of one broker: the row, and the number there.
type Rows = Vec<(&'static str, f64)>;

impl Bench<'_> {
    /// Fills each broker, watches it, and starts it again.
    pub(crate) fn measure(&self, wanted: Scale) -> Result<Section, Failure> {
        let files = raise_open_files();
        let scale = fitting(wanted, files);
        let mut columns = Vec::new();
        for kind in Kind::ALL {
            eprintln!("   {}", kind.name());
            columns.push(self.broker(scale, kind)?);
        }
        let mut body = self.head(wanted, scale, files);
        let [factum, kafka, flushing] = columns.as_slice() else {
            return Err(Failure::Found("expected three brokers".to_owned()));
        };
        for (((name, ours), (_, ships)), (_, flushing)) in factum.iter().zip(kafka).zip(flushing) {
            let number = |value: f64| format!("{value:.*}", if value < 10.0 { 3 } else { 1 });
            let ratio = |value: f64| format!("{:.3}", ours / value);
            let (ships_ratio, flushing_ratio) = (ratio(*ships), ratio(*flushing));
            let (ours, ships, flushing) = (number(*ours), number(*ships), number(*flushing));
            row(&mut body, &[name, &ours, &ships, &ships_ratio, &flushing, &flushing_ratio]);
        }
        let title = "Connections, groups and partitions, beside Apache Kafka".to_owned();
        let mut commands = super::kafka::shown();
        commands.push("kill PID; kill -9 PID  # and the same command again".to_owned());
        Ok(Section { title, body, commands })
    }

    fn head(&self, wanted: Scale, scale: Scale, files: u64) -> String {
        let Scale { partitions, groups, connections } = scale;
        let mut text = format!(
            "{partitions} partitions in topics of {}, {groups} groups with a committed offset each, \
             {connections} connections, idle since they have asked for ApiVersions; each broker \
             alone. Kafka has the heap that it ships with (-Xms1G -Xmx1G). Processor time is that \
             of {} s. A start is timed from starting the process, and is the median of {}; all \
             groups are there when one request for them was answered with every committed offset. \
             Ratios are Factum to Kafka: below 1 is less.\n\n",
            content::TOPIC_PARTITIONS,
            self.seconds * IDLE_SPANS,
            self.rounds
        );
        if connections < wanted.connections {
            text.push_str(&format!(
                "Not {} connections: a process may have {files} files open on this machine. Kafka \
                 has one open for each partition, and Factum leaves half of them to HTTP.\n\n",
                wanted.connections
            ));
        }
        text.push_str("| | Factum | Kafka | ratio | Kafka, flush.messages=1 | ratio |\n");
        text.push_str("|---|---:|---:|---:|---:|---:|\n");
        text
    }

    fn broker(&self, scale: Scale, kind: Kind) -> Result<Rows, Failure> {
        let mut broker = Broker::new(kind, self.directory, self.kafka)?;
        let begin = broker.start()?;
        let mut connection = broker.connect(begin)?;
        pause(SETTLING);
        let mut rows = vec![("resident memory, empty, MiB", resident_mib(&broker)?)];
        eprintln!("     partitions");
        let begin = Instant::now();
        content::create(&mut connection, scale.partitions)?;
        content::await_partitions(&mut broker, &mut connection, begin, scale.partitions)?;
        rows.push(("creating the partitions, s", begin.elapsed().as_secs_f64()));
        eprintln!("     groups");
        let begin = Instant::now();
        content::commit(&mut broker, &mut connection, scale)?;
        rows.push(("committing in each group, s", begin.elapsed().as_secs_f64()));
        drop(connection);
        rows.extend(self.idle(scale, &broker)?);
        rows.extend(self.restarts(scale, &mut broker)?);
        Ok(rows)
    }

    /// Memory and processor with all connections, which must be there afterwards.
    fn idle(&self, scale: Scale, broker: &Broker) -> Result<Rows, Failure> {
        eprintln!("     connections");
        let begin = Instant::now();
        let open = |_| Connection::open(broker.address);
        let mut connections = (0..scale.connections).map(open).collect::<Result<Vec<_>, _>>()?;
        let opened = begin.elapsed().as_secs_f64();
        pause(SETTLING);
        let (begin, before) = (Instant::now(), cpu_seconds(broker.process())?);
        pause(Duration::from_secs(self.seconds * IDLE_SPANS));
        let taken = cpu_seconds(broker.process())? - before;
        let share = 100.0 * taken / begin.elapsed().as_secs_f64();
        let resident = resident_mib(broker)?;
        connections.iter_mut().try_for_each(Connection::greet)?;
        Ok(vec![
            ("opening the connections, s", opened),
            ("resident memory, with all of it, MiB", resident),
            ("processor when idle, % of one core", share),
        ])
    }

    /// Ends it and starts it again, by SIGTERM and by `kill -9`, in turn.
    fn restarts(&self, scale: Scale, broker: &mut Broker) -> Result<Rows, Failure> {
        let (mut stops, mut clean, mut killed) = (Vec::new(), Starts::default(), Starts::default());
        for round in 1..=self.rounds {
            eprintln!("     restarts {round}");
            stops.push(broker.stop()?.as_secs_f64());
            clean.time(broker, scale)?;
            broker.kill();
            killed.time(broker, scale)?;
        }
        Ok(vec![
            ("clean end, s", median(stops)),
            ("start after it: first ApiVersions, s", median(clean.greeted)),
            ("… Metadata has all partitions, s", median(clean.partitions)),
            ("… all groups, s", median(clean.groups)),
            ("start after kill -9: first ApiVersions, s", median(killed.greeted)),
            ("… Metadata has all partitions, s", median(killed.partitions)),
            ("… all groups, s", median(killed.groups)),
        ])
    }
}

/// Seconds from starting the process to an answer, of several starts.
#[derive(Default)]
struct Starts {
    greeted: Vec<f64>,
    partitions: Vec<f64>,
    groups: Vec<f64>,
}

impl Starts {
    fn time(&mut self, broker: &mut Broker, scale: Scale) -> Result<(), Failure> {
        let begin = broker.start()?;
        let mut connection = broker.connect(begin)?;
        self.greeted.push(begin.elapsed().as_secs_f64());
        content::await_partitions(broker, &mut connection, begin, scale.partitions)?;
        self.partitions.push(begin.elapsed().as_secs_f64());
        content::await_groups(broker, &mut connection, begin, scale.groups)?;
        self.groups.push(begin.elapsed().as_secs_f64());
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn resident_mib(broker: &Broker) -> Result<f64, Failure> {
    Ok(resident_bytes(broker.process())? as f64 / MIB)
}

/// Raises the limit of open files, of this process and of what it starts, as far as it may.
fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let most = maximum.unwrap_or(WANTED_FILES).max(WANTED_FILES);
    // Above the maximum only root may, and not everywhere.
    for wanted in [most, maximum.unwrap_or(most)] {
        let limit = Rlimit { current: Some(wanted), maximum: Some(wanted) };
        if setrlimit(Resource::Nofile, limit).is_ok() {
            return wanted;
        }
    }
    current.unwrap_or(WANTED_FILES)
}

/// As many connections as every broker can take: Kafka has a file open for each partition, Factum
/// leaves half of all to the door for HTTP.
fn fitting(scale: Scale, files: u64) -> Scale {
    let of_kafka = files.saturating_sub(u64::from(scale.partitions) + OTHER_FILES);
    let of_factum = files.saturating_sub(OTHER_FILES) / 2;
    let most = u32::try_from(of_kafka.min(of_factum)).unwrap_or(u32::MAX);
    Scale { connections: scale.connections.min(most), ..scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_kafka_its_files() {
        let scale = Scale { partitions: 10_000, groups: 2_000, connections: 10_000 };
        assert_eq!(fitting(scale, 65_536).connections, 10_000);
        assert_eq!(fitting(scale, 20_000).connections, 9_400);
        assert_eq!(fitting(scale, 1_024).connections, 0);
    }
}
