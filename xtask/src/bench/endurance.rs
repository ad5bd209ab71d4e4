//! What has no rate: how many accidents were survived. Each is a program of its own; what it
//! printed stands in the document.

use super::report::Section;
use crate::step::{self, Failure, cargo};

const SEEDS: &str = "12000";
const KILLS: &str = "500";

/// Log and broker on a simulated disk, with what was injected.
pub(super) fn simulation() -> Result<Section, Failure> {
    let arguments = ["run", "--quiet", "--release", "--package", "factum-sim", "--"];
    let mut command = cargo(&arguments);
    let printed = step::output(command.args(["--seeds", SEEDS]))?;
    Ok(Section {
        title: "Simulation".to_owned(),
        body: quoted(
            "Log and broker on a simulated disk and a virtual clock, compared with a model; the \
             simulated time is that in which something was done.",
            printed.lines(),
        ),
        commands: vec![format!("cargo xtask simulate --seeds {SEEDS}")],
    })
}

/// The server on the real disk, killed at random times under mixed load.
pub(super) fn kills() -> Result<Section, Failure> {
    let mut command = cargo(&["test", "--quiet", "--package", "factum-server", "--test", "kill"]);
    command.args(["--", "--nocapture"]).env("FACTUM_KILLS", KILLS);
    let printed = step::output(&mut command)?;
    Ok(Section {
        title: "Killed on the real disk".to_owned(),
        body: quoted(
            "The server under mixed load: 200 partitions, deletions, settings, groups.",
            printed.lines().filter(|line| line.starts_with("kill:")),
        ),
        commands: vec![format!(
            "FACTUM_KILLS={KILLS} cargo test -p factum-server --test kill -- --nocapture"
        )],
    })
}

fn quoted<'a>(about: &str, lines: impl Iterator<Item = &'a str>) -> String {
    let lines: Vec<_> = lines.map(str::trim_end).collect();
    format!("{about}\n\n```text\n{}\n```\n", lines.join("\n"))
}
