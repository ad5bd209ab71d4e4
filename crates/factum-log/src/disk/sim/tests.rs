//! Tests of the simulated disk.

use super::super::write_at;
use super::*;

fn content(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(path).ok()?;
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

#[test]
fn what_was_flushed_survives_every_crash() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = disk.create("d/a").unwrap();
        write_at(file.as_ref(), &[7; 2000], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("d").unwrap();
        write_at(file.as_ref(), &[9; 2000], 1000).unwrap();
        disk.crash();
        assert!(file.len().is_err() && disk.list("d").is_err());
        let bytes = content(&disk.restarted(), "d/a").unwrap();
        assert!(bytes.len() >= 2000 && bytes[..1000] == [7; 1000], "seed {seed}");
    }
}

#[test]
fn a_flipped_bit_is_mended_whatever_a_crash_keeps_of_an_unflushed_write() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let file = disk.create("a").unwrap();
        file.allocate(1000).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        write_at(file.as_ref(), &[0; 500], 100).unwrap();
        disk.flip_bit("a", 300, 2).unwrap();
        disk.crash();
        let disk = disk.restarted();
        assert_eq!(content(&disk, "a").unwrap()[300], 4, "seed {seed}");
        disk.mend();
        assert_eq!(content(&disk, "a").unwrap(), [0; 1000], "seed {seed}");
    }
}

#[test]
fn unflushed_writes_are_lost_torn_and_kept_by_some_seed() {
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let disk = SimDisk::new(seed);
        let file = disk.create("a").unwrap();
        file.allocate(4096).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir("").unwrap();
        write_at(file.as_ref(), &[1; 4096], 0).unwrap();
        disk.crash();
        let bytes = content(&disk.restarted(), "a").unwrap();
        seen.insert(match bytes.iter().filter(|&&byte| byte == 1).count() {
            0 => "lost",
            4096 => "kept",
            _ => "torn",
        });
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["kept", "lost", "torn"]);
}

#[test]
fn names_that_were_not_flushed_may_vanish() {
    let survived = (0..50).filter(|&seed| {
        let disk = SimDisk::new(seed);
        disk.create("a").unwrap().sync_data().unwrap();
        disk.crash();
        disk.restarted().open("a").is_ok()
    });
    let survived = survived.count();
    assert!(survived > 0 && survived < 50, "{survived} of 50");
}

#[test]
fn a_failed_flush_is_not_made_good_by_the_next() {
    let lost = (0..50).filter(|&seed| {
        let disk = SimDisk::new(seed);
        let file = disk.create("a").unwrap();
        disk.sync_dir("").unwrap();
        disk.set_faults(Faults { fail_sync: Some(1), ..Faults::default() });
        write_at(file.as_ref(), b"abc", 0).unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        disk.crash();
        content(&disk.restarted(), "a").unwrap() != b"abc"
    });
    assert!(lost.count() > 0);
}

#[test]
fn a_full_disk_says_so() {
    let disk = SimDisk::new(1);
    disk.set_faults(Faults { capacity: Some(100), ..Faults::default() });
    let file = disk.create("a").unwrap();
    write_at(file.as_ref(), &[0; 100], 0).unwrap();
    let error = write_at(file.as_ref(), &[0; 1], 100).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.allocate(101).unwrap_err().kind(), io::ErrorKind::StorageFull);
}
