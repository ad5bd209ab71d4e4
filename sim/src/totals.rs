//! What simulations have done, added up.

use std::fmt;
use std::time::Duration;

use factum_log::disk::sim::SimStats;

/// Counts of one seed, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Seeds.
    pub seeds: u64,
    /// What clients and workers did.
    pub operations: u64,
    /// Appends, changes and commits that were acknowledged.
    pub acknowledged: u64,
    /// Batches that were read and compared.
    pub compared: u64,
    /// How often a log was opened.
    pub openings: u64,
    /// Partitions that were cut off, compacted or removed.
    pub reductions: u64,
    /// Indexes, seals and checkpoints that were deleted.
    pub deleted_folds: u64,
    /// Virtual time while something was done.
    pub busy: Duration,
    /// Virtual time in which nothing was done.
    pub idle: Duration,
    /// What the disk has done and suffered.
    pub disk: SimStats,
}

impl Totals {
    /// Adds what others have done.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.compared += other.compared;
        self.openings += other.openings;
        self.reductions += other.reductions;
        self.deleted_folds += other.deleted_folds;
        self.busy += other.busy;
        self.idle += other.idle;
        let (disk, more) = (&mut self.disk, &other.disk);
        disk.crashes += more.crashes;
        disk.kills += more.kills;
        disk.lost_writes += more.lost_writes;
        disk.torn_writes += more.torn_writes;
        disk.lost_syncs += more.lost_syncs;
        disk.failed_syncs += more.failed_syncs;
        disk.failed_writes += more.failed_writes;
        disk.refused_writes += more.refused_writes;
        disk.flipped_bits += more.flipped_bits;
        disk.writes += more.writes;
        disk.syncs += more.syncs;
    }
}

fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3600.0
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let disk = &self.disk;
        let hours_busy = format!("{:.1} h, and {:.0} h idle", hours(self.busy), hours(self.idle));
        let lines: [(&str, String); 16] = [
            ("seeds", self.seeds.to_string()),
            ("simulated time", hours_busy),
            ("operations", self.operations.to_string()),
            ("acknowledged", self.acknowledged.to_string()),
            ("batches compared", self.compared.to_string()),
            ("cut, compacted, removed", self.reductions.to_string()),
            ("openings", self.openings.to_string()),
            ("crashes of the machine", disk.crashes.to_string()),
            ("kills of the process", disk.kills.to_string()),
            ("writes", format!("{}, {} of them failed", disk.writes, disk.failed_writes)),
            ("writes lost, torn", format!("{}, {}", disk.lost_writes, disk.torn_writes)),
            ("flushes", format!("{}, {} of them failed", disk.syncs, disk.failed_syncs)),
            ("flushes lost", disk.lost_syncs.to_string()),
            ("refused by a full disk", disk.refused_writes.to_string()),
            ("bits flipped", disk.flipped_bits.to_string()),
            ("indexes, seals deleted", self.deleted_folds.to_string()),
        ];
        for (name, value) in lines {
            writeln!(f, "{name:<24} {value}")?;
        }
        Ok(())
    }
}
