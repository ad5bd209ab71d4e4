//! CloudEvents.
/// An event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event;
