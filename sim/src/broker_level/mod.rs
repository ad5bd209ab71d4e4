//! The broker.

use crate::Violation;
use crate::machine::Machine;

pub(crate) fn run(_machine: &mut Machine) -> Result<(), Violation> {
    Ok(())
}
