//! Opening a broker over checkpoints that lie and whose checksums fit, on the simulated disk.
//!
//! Bits of the first byte say what the rest is: 1, of the control events, else of producers; 2,
//! changes to the sound file (two bytes where, one what to flip; 0 cuts off), else all that stands
//! behind the CRC; 4, that a checkpoint of control events states the place of the sound one. No
//! disk does this, but a defect may. Whatever is there: nothing panics, hangs, or reserves memory
//! by what it says; no offset is given twice; what opened once opens again.

#![no_main]

use factum_broker::Broker;
use factum_event::batch::crc32c;
use factum_fuzz::{disk_with, open_broker, produce, sound_broker};
use factum_log::{Extent, PartitionId};
use libfuzzer_sys::fuzz_target;

const PRODUCERS: &str = "checkpoints/producers";
const CONTROL: &str = "checkpoints/control";

/// Where the CRC stands, and what it covers.
const CRC_AT: usize = 8;
const COVERED: usize = 12;

/// Version, offset and CRC of the batch before it, in a checkpoint of control events.
const PLACE: std::ops::Range<usize> = 12..28;

fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    let path = if how & 1 == 0 { PRODUCERS } else { CONTROL };
    let mut files = sound_broker().to_vec();
    let lie = files.iter_mut().find(|(name, _)| name == path).expect("a checkpoint");
    lie.1 = changed(&lie.1, how, rest);
    let disk = disk_with(&files);
    let broker = open_broker(&disk).expect("a fold can be done without");
    let before = extents(&broker);
    for topic in ["orders", "invoices"] {
        for sequence in [2, 3, 4, 5, 0, i32::MAX] {
            drop(produce(&broker, topic, 7, sequence));
            drop(produce(&broker, topic, 8, sequence));
        }
    }
    let after = extents(&broker);
    broker.close();
    drop(broker);
    for (id, extent) in before {
        let now = after.iter().find(|(known, _)| *known == id).expect("it is still there").1;
        assert!(now.start == extent.start && now.end >= extent.end, "{id:?}");
    }
    let broker = open_broker(&disk).expect("what was opened opens again");
    assert_eq!(extents(&broker), after);
    broker.close();
});

fn extents(broker: &Broker) -> Vec<(PartitionId, Extent)> {
    let log = broker.log();
    log.partitions().into_iter().map(|id| (id, log.extent(id))).collect()
}

fn changed(sound: &[u8], how: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    if how & 2 == 0 {
        bytes.truncate(COVERED);
        bytes.extend_from_slice(rest);
    } else {
        for change in rest.chunks_exact(3) {
            let at = COVERED + usize::from(u16::from_be_bytes([change[0], change[1]]));
            match change[2] {
                0 => bytes.truncate(at),
                flip => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= flip),
            }
        }
    }
    if how & 5 == 5 && bytes.len() >= PLACE.end {
        bytes[PLACE].copy_from_slice(&sound[PLACE]);
    }
    let crc = crc32c(&bytes[COVERED..]);
    bytes[CRC_AT..COVERED].copy_from_slice(&crc.to_be_bytes());
    bytes
}
