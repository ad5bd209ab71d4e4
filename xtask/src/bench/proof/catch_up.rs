//! Reading a whole topic that is larger than what the server keeps in memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use super::{Ground, RECORD_BYTES};
use crate::bench::client::shown;
use crate::bench::null::NullBroker;
use crate::bench::ratio::{Aim, Pair, compare, median};
use crate::bench::report::{Section, row};
use crate::bench::server::Server;
use crate::bench::{MIB, failed, page_cache};
use crate::step::{Failure, program};

const AIM: Aim = Aim::AtLeast(0.9);
const BLOCK_BYTES: usize = 1 << 20;

/// One consumer from the first record to the last, beside a broker that answers from memory.
pub(crate) fn catch_up(ground: &Ground<'_>) -> Result<Section, Failure> {
    let records = ground.read_records();
    let (size, count) = (RECORD_BYTES.to_string(), records.to_string());
    let null_arguments = ["--record-size", &size, "--records", &count];
    let read = ["consume", "--record-size", &size, "--seconds", "3600"];
    let can_be_cold = page_cache::drop_all().is_ok();
    let (mut warm, mut first, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    let mut filled = String::new();
    for round in 1..=ground.rounds {
        eprintln!("   pair {round}");
        let server = Server::start(ground.directory)?;
        filled = ground.fill(server.kafka, records)?;
        let null = NullBroker::serve(&null_arguments)?;
        let reference = ground.client.run(null.address, &read)?.number("mib_per_second")?;
        drop(null);
        if can_be_cold {
            page_cache::drop_all()?;
            plain.push(read_files(&ground.directory.join("data"))?);
            page_cache::drop_all()?;
        }
        let measured = ground.client.run(server.kafka, &read)?.number("mib_per_second")?;
        first.push(Pair { reference, measured });
        // Who reads first does so past the page cache: this fills it.
        read_files(&ground.directory.join("data"))?;
        let measured = ground.client.run(server.kafka, &read)?.number("mib_per_second")?;
        warm.push(Pair { reference, measured });
    }
    let mut body = format!(
        "One consumer reads {} GiB of 1 KiB records from the first to the last, beside a broker \
         that answers with the same batch from memory.\n\n\
         | MiB/s of values | null | Factum | ratio | of the pairs | aim |\n\
         |---|---:|---:|---:|---:|---|\n",
        ground.read_gib
    );
    let rows = [
        ("read first, from the disk", &first, Aim::None),
        ("read again, from the page cache", &warm, AIM),
    ];
    for (what, pairs, aim) in rows {
        let [null, factum, ratio, spread, verdict] = compare(pairs).cells(1, aim);
        row(&mut body, &[what, &null, &factum, &ratio, &spread, &verdict]);
    }
    if can_be_cold {
        let plain = format!("{:.1}", median(plain));
        row(&mut body, &["the same files, read in blocks into the page cache", &plain]);
    }
    let null = format!("null-broker serve {}", null_arguments.join(" "));
    let commands = vec![filled, null, shown(&read)];
    Ok(Section { title: "Catching up".to_owned(), body, commands })
}

/// MiB/s of reading every file below a directory in order.
fn read_files(directory: &Path) -> Result<f64, Failure> {
    let mut find = program("find");
    let listed = crate::step::output(find.arg(directory).args(["-type", "f"]))?;
    let mut paths: Vec<&str> = listed.lines().collect();
    paths.sort_unstable();
    let (begin, mut bytes) = (Instant::now(), 0);
    let mut block = vec![0; BLOCK_BYTES];
    for path in paths {
        bytes += read_file(Path::new(path), &mut block)
            .map_err(|source| failed(Path::new(path), source))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    Ok(bytes as f64 / MIB / begin.elapsed().as_secs_f64())
}

fn read_file(path: &Path, block: &mut [u8]) -> io::Result<u64> {
    // A file that is gone meanwhile was housekeeping.
    if !fs::exists(path)? {
        return Ok(0);
    }
    let mut file = File::open(path)?;
    let mut bytes = 0;
    loop {
        match file.read(block)? {
            0 => return Ok(bytes),
            read => bytes += read as u64,
        }
    }
}
