//! Where records go.

use crate::head::HEAD_WORDS;
use crate::record::Record;
use crate::view::RecordView;

/// Takes the records of ended and timed-out flows: the record ring of a worker, or a collector of a replay.
pub trait Output {
    /// Takes one record. Never blocks; what cannot be kept is counted by the implementation.
    fn put(&mut self, record: &RecordView<'_>);
    /// Takes one record as words, head and facts: what a worker hands on, so that the ring need not validate it.
    #[inline]
    fn put_words(&mut self, head: &[u64; HEAD_WORDS], facts: &[u64]) {
        if let Some(record) = RecordView::from_parts(head, facts) {
            self.put(&record);
        }
    }
    /// Makes what was put visible to readers. Called once a burst.
    fn publish(&mut self) {}
}

impl<O: Output + ?Sized> Output for &mut O {
    fn put(&mut self, record: &RecordView<'_>) {
        (**self).put(record);
    }

    fn put_words(&mut self, head: &[u64; HEAD_WORDS], facts: &[u64]) {
        (**self).put_words(head, facts);
    }

    fn publish(&mut self) {
        (**self).publish();
    }
}

impl Output for Vec<Record> {
    fn put(&mut self, record: &RecordView<'_>) {
        self.push(record.into());
    }
}
