//! What comparing has brought, for people and for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::compare::{Compared, Difference};
use crate::cli::{CliError, Table, Terminal, grouped};

/// Differences that are named in all.
const MAX_NAMED: usize = 100;

/// What was compared.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether there is no difference.
    pub equal: bool,
    /// Records of the source that were compared.
    pub records: u64,
    /// By partition.
    pub partitions: Vec<PartitionReport>,
    /// Topics and partitions of the source that the target does not have.
    pub missing: Vec<String>,
    /// Topics and partitions of which nothing can be said, and why.
    pub unread: BTreeMap<String, String>,
    /// The first differences.
    pub differences: Vec<Found>,
    /// How many more there are.
    pub more_differences: u64,
}

/// What was compared of a partition.
#[derive(Debug, Serialize)]
pub struct PartitionReport {
    /// The topic in the source.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset that both keep.
    pub from: i64,
    /// The offset behind the last one that was compared.
    pub to: i64,
    /// Committed offsets of the source that the target does not have yet.
    pub behind: u64,
    /// Records of the source.
    pub source_records: u64,
    /// Records of the target.
    pub target_records: u64,
    /// BLAKE3 of the source's records.
    pub source_checksum: String,
    /// BLAKE3 of the target's records.
    pub target_checksum: String,
    /// Records that only one has, because the other has compacted them away.
    pub compacted: u64,
    /// Records that differ.
    pub differences: u64,
}

/// A difference.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The topic in the source.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// What is different.
    pub what: Difference,
}

impl PartitionReport {
    fn is_equal(&self) -> bool {
        self.differences == 0 && self.behind == 0
    }
}

impl Report {
    /// Takes what came of a partition.
    pub fn add(
        &mut self,
        (topic, partition): (&str, i32),
        (from, to, behind): (i64, i64, u64),
        compared: Compared,
    ) {
        let Compared { source, target, differences, more, compacted } = compared;
        self.records += source.records;
        let count = differences.len() as u64 + more;
        for (offset, what) in differences {
            if self.differences.len() < MAX_NAMED {
                let topic = topic.to_owned();
                self.differences.push(Found { topic, partition, offset, what });
            } else {
                self.more_differences += 1;
            }
        }
        self.more_differences += more;
        self.partitions.push(PartitionReport {
            topic: topic.to_owned(),
            partition,
            from,
            to,
            behind,
            source_records: source.records,
            target_records: target.records,
            source_checksum: source.checksum,
            target_checksum: target.checksum,
            compacted,
            differences: count,
        });
    }

    /// Prints it; an error says that something is different, or could not be read.
    pub fn show(mut self, terminal: &Terminal) -> Result<(), CliError> {
        self.equal = !self.differs() && self.unread.is_empty();
        if terminal.json() {
            terminal.say_json(&self)?;
        } else {
            terminal.say(self.table(terminal))?;
        }
        self.verdict()
    }

    fn differs(&self) -> bool {
        !self.missing.is_empty() || !self.partitions.iter().all(PartitionReport::is_equal)
    }

    /// A difference is one, whatever could not be read; equal is only what was read.
    fn verdict(&self) -> Result<(), CliError> {
        if self.differs() {
            let what = format!("source and target differ:{}", self.what());
            return Err(CliError::failed("different", what));
        }
        if self.unread.is_empty() {
            return Ok(());
        }
        let what = format!("it cannot be told whether source and target are equal:{}", self.what());
        Err(CliError::cannot("unread", what))
    }

    /// A row for each topic: programs get the partitions.
    fn table(&self, terminal: &Terminal) -> String {
        let headings =
            ["topic", ">partitions", ">source", ">target", ">compacted", ">behind", "checksum", ""];
        let mut table = Table::new(terminal.colors, &headings);
        let mut topics: BTreeMap<&str, Vec<&PartitionReport>> = BTreeMap::new();
        for partition in &self.partitions {
            topics.entry(&partition.topic).or_default().push(partition);
        }
        for (topic, partitions) in topics {
            let sum = |of: fn(&PartitionReport) -> u64| {
                grouped(partitions.iter().map(|partition| of(partition)).sum())
            };
            let checksum = |of: fn(&PartitionReport) -> &String| {
                let mut hasher = blake3::Hasher::new();
                for one in &partitions {
                    hasher.update(of(one).as_bytes());
                }
                hasher.finalize().to_hex()[..12].to_owned()
            };
            let (theirs, ours) = (
                checksum(|partition| &partition.source_checksum),
                checksum(|partition| &partition.target_checksum),
            );
            let checksums = if theirs == ours { theirs } else { format!("{theirs} ≠ {ours}") };
            let equal = partitions.iter().all(|partition| partition.is_equal());
            table.row([
                &topic as &dyn std::fmt::Display,
                &grouped(partitions.len() as u64),
                &sum(|partition| partition.source_records),
                &sum(|partition| partition.target_records),
                &sum(|partition| partition.compacted),
                &sum(|partition| partition.behind),
                &checksums,
                &(if equal { "equal" } else { "DIFFERENT" }),
            ]);
        }
        table.to_string()
    }

    fn what(&self) -> String {
        const SHOWN: usize = 10;
        let mut lines: Vec<String> =
            self.missing.iter().map(|name| format!("{name} is not in the target")).collect();
        lines.extend(self.unread.iter().map(|(name, why)| format!("{name} was not read: {why}")));
        let behind = self.partitions.iter().filter(|partition| partition.behind > 0);
        lines.extend(behind.map(|one| {
            format!("{}-{} is {} offsets behind", one.topic, one.partition, one.behind)
        }));
        lines.extend(self.differences.iter().map(|found| {
            let what = match found.what {
                Difference::Missing => "is missing in the target",
                Difference::Extra => "is only in the target",
                Difference::Changed => "is another record in the target",
            };
            format!("{}-{} at offset {} {what}", found.topic, found.partition, found.offset)
        }));
        let all = lines.len() as u64 + self.more_differences;
        let shown = lines.len().min(SHOWN);
        let more = all - shown as u64;
        let rest = if more > 0 { format!("\n  and {} more", grouped(more)) } else { String::new() };
        lines.iter().take(SHOWN).map(|line| format!("\n  {line}")).collect::<String>() + &rest
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::Side;
    use super::*;

    fn compared(differences: Vec<(i64, Difference)>) -> Compared {
        let side = Side { records: 5, checksum: "5".to_owned() };
        Compared { source: side.clone(), target: side, differences, more: 0, compacted: 0 }
    }

    #[test]
    fn what_was_not_read_is_neither_equal_nor_a_difference() {
        let mut report = Report::default();
        report.add(("orders", 0), (0, 5, 0), compared(Vec::new()));
        assert!(report.verdict().is_ok());
        report.unread.insert("orders-1".to_owned(), "it has no leader".to_owned());
        let error = report.verdict().unwrap_err();
        assert_eq!((error.exit_code(), error.code()), (2, "unread"));
        assert!(error.to_string().contains("orders-1 was not read: it has no leader"), "{error}");
        // What differs does so, whatever else could be said.
        report.add(("orders", 2), (0, 5, 0), compared(vec![(3, Difference::Changed)]));
        let error = report.verdict().unwrap_err();
        assert_eq!((error.exit_code(), error.code()), (1, "different"));
        let said = error.to_string();
        assert!(said.contains("orders-1 was not read") && said.contains("orders-2 at offset 3"));
    }
}
