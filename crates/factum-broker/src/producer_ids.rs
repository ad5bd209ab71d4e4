//! Producer ids: each is given once, ever. They are reserved in blocks by control events, so that
//! most producers cost no write; a restart leaves the rest of a block unused.

use parking_lot::Mutex;

/// Ids reserved by one control event.
pub(crate) const BLOCK: i64 = 1_000;

/// The ids that can be given without another control event.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    range: Mutex<Range>,
}

#[derive(Debug, Default)]
struct Range {
    next: i64,
    reserved: i64,
}

impl ProducerIds {
    /// The next id, if one is left of what was reserved.
    pub(crate) fn take(&self) -> Option<i64> {
        let mut range = self.range.lock();
        let id = range.next;
        (id < range.reserved).then(|| {
            range.next += 1;
            id
        })
    }

    /// The end of the block after the one reserved last.
    pub(crate) fn next_block(&self) -> i64 {
        self.range.lock().reserved + BLOCK
    }

    /// The end of what is reserved.
    pub(crate) fn end(&self) -> i64 {
        self.range.lock().reserved
    }

    /// Applies a reservation of all ids before `end`.
    pub(crate) fn reserved(&self, end: i64) {
        self.range.lock().reserved = end;
    }

    /// Skips what an earlier run may have given.
    pub(crate) fn after_restart(&self) {
        let mut range = self.range.lock();
        range.next = range.reserved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_over_blocks_and_restarts() {
        let ids = ProducerIds::default();
        assert_eq!(ids.take(), None);
        ids.reserved(ids.next_block());
        let given: Vec<_> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(given, (0..BLOCK).collect::<Vec<_>>());
        ids.reserved(ids.next_block());
        assert_eq!(ids.take(), Some(BLOCK));
        ids.after_restart();
        assert_eq!(ids.take(), None);
        ids.reserved(ids.next_block());
        assert_eq!(ids.take(), Some(2 * BLOCK));
    }
}
