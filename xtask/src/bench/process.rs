//! What the kernel says of a running process.

use std::fs;
use std::path::PathBuf;

use super::failed;
use crate::step::Failure;

/// The kernel tells processor time in these, on every architecture that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of a processor that it has taken, in itself and in the kernel for it.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64, Failure> {
    let (path, stat) = read(process, "stat")?;
    let ticks = ticks(&stat);
    let missing = || Failure::Found(format!("{} has no utime and stime", path.display()));
    Ok(ticks.ok_or_else(missing)? / TICKS_PER_SECOND)
}

/// Bytes of memory that it has now.
pub(crate) fn resident_bytes(process: u32) -> Result<u64, Failure> {
    memory(process, "VmRSS:")
}

/// The most bytes of memory that it has had.
pub(crate) fn peak_bytes(process: u32) -> Result<u64, Failure> {
    memory(process, "VmHWM:")
}

fn memory(process: u32, name: &str) -> Result<u64, Failure> {
    let (path, status) = read(process, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| Failure::Found(format!("{} has no {name}", path.display())))
}

fn read(process: u32, name: &str) -> Result<(PathBuf, String), Failure> {
    let path = PathBuf::from(format!("/proc/{process}/{name}"));
    let text = fs::read_to_string(&path).map_err(|source| failed(&path, source))?;
    Ok((path, text))
}

/// utime and stime together.
fn ticks(stat: &str) -> Option<f64> {
    // The name of the program, in parentheses, may hold spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_at_its_peak_no_less() {
        let me = std::process::id();
        let resident = resident_bytes(me).unwrap();
        assert!(resident > 0 && peak_bytes(me).unwrap() >= resident);
        assert!(cpu_seconds(me).unwrap() >= 0.0);
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "42 (a name) with) R 1 1 1 0 -1 4194304 90 0 0 0 120 30 7 8 20 0 1 0 99";
        assert_eq!(ticks(stat), Some(150.0));
        assert_eq!(ticks("42"), None);
    }
}
