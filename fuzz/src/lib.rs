//! How the targets read their input and make what they damage: what more than one of them needs.

mod directory;
mod message;
mod sound_broker;
mod sound_log;

pub use directory::{File, disk_with, files_of};
pub use message::Message;
pub use sound_broker::{open_broker, produce, sound_broker};
pub use sound_log::{CLEANED, NEW, append, batch, open, partition, sound_log};
