//! Which machine measured, without its name.

use std::fs;
use std::thread;

use crate::step::{self, Failure, program};

/// The machine and the day, as pairs of a label and a value.
pub(crate) fn describe() -> Result<Vec<(&'static str, String)>, Failure> {
    let mut date = program("date");
    let mut kernel = program("uname");
    let mut rustc = program("rustc");
    let line = |text: String| text.trim().to_owned();
    Ok(vec![
        ("measured", step::output(date.args(["-u", "+%Y-%m-%d"])).map(line)?),
        ("processor", format!("{}, {} cores", processor(), cores())),
        ("memory", memory()),
        ("kernel", step::output(kernel.arg("-sr")).map(line)?),
        ("compiler", step::output(rustc.arg("--version")).map(line)?),
    ])
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn processor() -> String {
    field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned())
}

fn memory() -> String {
    let kib = field("/proc/meminfo", "MemTotal");
    let kib = kib.and_then(|text| text.strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{} GiB", kib >> 20))
}

/// The value of `name: value` in a file of the kernel.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}
