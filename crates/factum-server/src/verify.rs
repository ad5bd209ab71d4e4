//! Checks a data directory that no server has, and attests what is in it.
//!
//! The log does the checking; here topics get their names, which the control topic has, and an
//! attestation is a file. An attestation is never written over another one, nor of a damaged log.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use factum_broker::{CONTROL_TOPIC_ID, created_topic};
use factum_event::batch::Batch;
use factum_event::{Clock, Offset, Partition, SystemClock, TopicId, TopicName};
use factum_log::{
    ChainHash, ChainHead, Finding, PartitionId, ReadOnlyDisk, Verification, VerifyError,
    VerifyObserver, VerifyOptions, root_hash, verify,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The first field of an attestation.
const ATTESTATION_FORMAT: &str = "factum attestation 1";

/// The largest attestation that is read: a million partitions.
const MAX_ATTESTATION_BYTES: u64 = 256 << 20;

/// What a batch of the control topic may unpack to.
const MAX_CONTROL_BYTES: usize = 16 << 20;

/// What is to be checked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The data directory.
    pub(crate) directory: PathBuf,
    /// Decode every record as well.
    pub(crate) deep: bool,
    /// Write what a sound log has to this file.
    pub(crate) attest: Option<PathBuf>,
    /// Compare with what this file says.
    pub(crate) against: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) sound: bool,
    pub(crate) directory: PathBuf,
    pub(crate) journals: u64,
    pub(crate) segments: u64,
    pub(crate) seals: u64,
    pub(crate) partitions: u64,
    /// Those with offsets that were moved or compacted, and how many offsets: no chain covers them.
    pub(crate) moved_partitions: u64,
    pub(crate) moved_offsets: u64,
    /// Attested partitions of which what was attested is gone, for a reason that a note gives.
    pub(crate) unproven: u64,
    /// Those that are what was written.
    pub(crate) batches: u64,
    pub(crate) bytes: u64,
    /// Decoded, where that was asked for.
    pub(crate) records: Option<u64>,
    pub(crate) findings: Vec<Found>,
    /// Findings that are not listed.
    pub(crate) more_findings: u64,
    pub(crate) notes: Vec<String>,
    /// The root hash over all partitions, of a sound log.
    pub(crate) root: Option<String>,
    /// Where the attestation was written.
    pub(crate) attested: Option<PathBuf>,
}

/// Something that is wrong.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) fault: &'static str,
    pub(crate) file: String,
    pub(crate) position: u64,
    pub(crate) topic: Option<TopicName>,
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) partition: Option<i32>,
    pub(crate) first_offset: Option<i64>,
    pub(crate) last_offset: Option<i64>,
    pub(crate) reason: String,
    pub(crate) advice: &'static str,
}

/// Why nothing was checked, or nothing attested.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("cannot read the data directory {}: {source}; name one that is there", .directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    #[error("{} is no attestation ({reason}); name a file that `factum verify --attest` wrote", .file.display())]
    Attestation { file: PathBuf, reason: String },
    #[error("cannot write the attestation {}: {source}; name a file that is not there yet", .file.display())]
    Write { file: PathBuf, source: io::Error },
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Progress {
    /// So many bytes are to be read.
    Total(u64),
    /// So many more were.
    Read(u64),
}

/// Checks a directory.
///
/// # Errors
/// [`Failure`]; damage is none, but part of the [`Report`].
pub(crate) fn run(
    request: &Request,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Failure> {
    let against = match &request.against {
        Some(file) => read_attestation(file)?,
        None => Vec::new(),
    };
    let directory = &request.directory;
    let disk = ReadOnlyDisk::new(directory)
        .map_err(|source| Failure::Directory { directory: directory.clone(), source })?;
    let options = VerifyOptions { deep: request.deep, against };
    let mut watcher = Watcher { progress, names: HashMap::new() };
    let found = verify(&disk, &options, &mut watcher)?;
    let names = watcher.names;
    let mut report = report(request, &found, &names);
    if let Some(file) = request.attest.as_ref().filter(|_| report.sound) {
        write_attestation(file, &found.heads, &names)
            .map_err(|source| Failure::Write { file: file.clone(), source })?;
        report.attested = Some(file.clone());
    }
    Ok(report)
}

/// Names by what the control topic says; all that ever were.
type Names = HashMap<TopicId, TopicName>;

struct Watcher<'a> {
    progress: &'a mut dyn FnMut(Progress),
    names: Names,
}

impl VerifyObserver for Watcher<'_> {
    fn begin(&mut self, total_bytes: u64) {
        (self.progress)(Progress::Total(total_bytes));
    }

    fn read(&mut self, bytes: u64) {
        (self.progress)(Progress::Read(bytes));
    }

    fn wants(&self, partition: PartitionId) -> bool {
        partition.topic == CONTROL_TOPIC_ID
    }

    fn batch(&mut self, _: PartitionId, batch: &Batch) {
        let Ok(records) = batch.records(MAX_CONTROL_BYTES) else {
            return;
        };
        self.names.extend(records.iter().filter_map(|one| created_topic(one.offset, &one.record)));
    }
}

fn report(request: &Request, found: &Verification, names: &Names) -> Report {
    Report {
        sound: found.is_sound(),
        directory: request.directory.clone(),
        journals: found.journals,
        segments: found.segments,
        seals: found.seals,
        partitions: found.partitions,
        moved_partitions: found.moved_partitions,
        moved_offsets: found.moved_offsets,
        unproven: found.unproven,
        batches: found.batches,
        bytes: found.batch_bytes,
        records: request.deep.then_some(found.records),
        findings: found.findings.iter().map(|finding| of(finding, names)).collect(),
        more_findings: found.more_findings,
        notes: found.notes.clone(),
        root: found.is_sound().then(|| root_hash(&found.heads).to_string()),
        attested: None,
    }
}

fn of(finding: &Finding, names: &Names) -> Found {
    let topic_id = finding.partition.map(|id| id.topic);
    Found {
        fault: finding.fault.code(),
        file: finding.file.clone(),
        position: finding.position,
        topic: topic_id.and_then(|id| name_of(id, names)),
        topic_id,
        partition: finding.partition.map(|id| id.partition.get()),
        first_offset: finding.offsets.map(|(first, _)| first.get()),
        last_offset: finding.offsets.map(|(_, last)| last.get()),
        reason: finding.reason.clone(),
        advice: finding.fault.advice(),
    }
}

/// Factum's own topics are named by no event.
fn name_of(id: TopicId, names: &Names) -> Option<TopicName> {
    names.get(&id).cloned().or_else(|| factum_broker::own_topic(id))
}

/// The file of an attestation.
#[derive(Debug, Serialize, Deserialize)]
struct Attestation {
    format: String,
    /// When it was written, as this machine's clock says.
    time: Option<String>,
    root: String,
    partitions: Vec<AttestedPartition>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AttestedPartition {
    topic_id: TopicId,
    /// For people: it is not under the root hash.
    topic: Option<TopicName>,
    partition: i32,
    /// The offset after the last one that the hash covers.
    offset: i64,
    hash: String,
}

fn write_attestation(file: &Path, heads: &[ChainHead], names: &Names) -> io::Result<()> {
    let partitions = heads.iter().map(|head| AttestedPartition {
        topic_id: head.partition.topic,
        topic: name_of(head.partition.topic, names),
        partition: head.partition.partition.get(),
        offset: head.next.get(),
        hash: head.hash.to_string(),
    });
    let attestation = Attestation {
        format: ATTESTATION_FORMAT.to_owned(),
        time: SystemClock::new().now().to_rfc3339(),
        root: root_hash(heads).to_string(),
        partitions: partitions.collect(),
    };
    let mut text = serde_json::to_string_pretty(&attestation)?;
    text.push('\n');
    let mut out = OpenOptions::new().write(true).create_new(true).open(file)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()
}

fn read_attestation(file: &Path) -> Result<Vec<ChainHead>, Failure> {
    let wrong = |reason: String| Failure::Attestation { file: file.to_owned(), reason };
    let length = fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len();
    if length > MAX_ATTESTATION_BYTES {
        return Err(wrong(format!("{length} bytes are too many")));
    }
    let text =
        File::open(file).and_then(io::read_to_string).map_err(|error| wrong(error.to_string()))?;
    parse_attestation(&text).map_err(wrong)
}

/// The heads, which must have the root hash that the file states.
fn parse_attestation(text: &str) -> Result<Vec<ChainHead>, String> {
    let attestation: Attestation = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if attestation.format != ATTESTATION_FORMAT {
        return Err(format!("{ATTESTATION_FORMAT:?} was expected, {:?} came", attestation.format));
    }
    let heads: Vec<ChainHead> = attestation
        .partitions
        .iter()
        .map(|line| head(line).ok_or_else(|| format!("{line:?} is no head of a partition")))
        .collect::<Result<_, _>>()?;
    let root = root_hash(&heads).to_string();
    if root == attestation.root {
        Ok(heads)
    } else {
        Err(format!(
            "its partitions have the root hash {root}, not the {} it states",
            attestation.root
        ))
    }
}

fn head(line: &AttestedPartition) -> Option<ChainHead> {
    let partition = Partition::new(line.partition)?;
    let partition = PartitionId { topic: line.topic_id, partition };
    let (next, hash) = (Offset::new(line.offset)?, ChainHash::parse_hex(&line.hash)?);
    Some(ChainHead { partition, next, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads() -> Vec<ChainHead> {
        let id = |partition| PartitionId {
            topic: CONTROL_TOPIC_ID,
            partition: Partition::new(partition).unwrap(),
        };
        let head = |partition| ChainHead {
            partition: id(partition),
            next: Offset::new(7).unwrap(),
            hash: ChainHash::begin(id(partition)),
        };
        vec![head(0), head(1)]
    }

    #[test]
    fn an_attestation_is_read_as_it_was_written_and_is_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.json");
        write_attestation(&file, &heads(), &Names::new()).unwrap();
        assert_eq!(read_attestation(&file).unwrap(), heads());
        let error = write_attestation(&file, &heads(), &Names::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn an_attestation_that_was_changed_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.json");
        write_attestation(&file, &heads(), &Names::new()).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let changed = parse_attestation(&text.replace("\"offset\": 7", "\"offset\": 6"));
        assert!(changed.unwrap_err().contains("root hash"));
        let changed = parse_attestation(&text.replace("\"partition\": 1", "\"partition\": -1"));
        assert!(changed.unwrap_err().contains("no head"));
        assert!(parse_attestation("{}").is_err());
    }
}
