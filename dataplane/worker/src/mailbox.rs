//! A letter box for one reader that must never wait: how a worker gets new settings between two bursts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// A value with the generation of the settings it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Letter<T> {
    /// Generation of the settings.
    pub generation: u64,
    /// What they say.
    pub value: T,
}

/// Holds the latest letter.
#[derive(Debug)]
pub struct Mailbox<T> {
    generation: AtomicU64,
    letter: Mutex<Arc<Letter<T>>>,
}

impl<T> Mailbox<T> {
    /// A box with a first letter in it.
    pub fn new(letter: Letter<T>) -> Self {
        Self { generation: AtomicU64::new(letter.generation), letter: Mutex::new(Arc::new(letter)) }
    }

    /// Puts a letter in, in place of the one before. Called by the control thread; may wait for a reader's instant.
    pub fn post(&self, letter: Letter<T>) {
        let generation = letter.generation;
        *self.letter.lock() = Arc::new(letter);
        self.generation.store(generation, Ordering::Release);
    }

    /// The latest letter.
    pub fn latest(&self) -> Arc<Letter<T>> {
        Arc::clone(&self.letter.lock())
    }

    /// Replaces `held` if something else was posted. Never waits.
    pub fn collect(&self, held: &mut Arc<Letter<T>>) -> bool {
        if self.generation.load(Ordering::Acquire) == held.generation {
            return false;
        }
        // The control thread is writing just now: the next burst will find the letter.
        let Some(letter) = self.letter.try_lock() else { return false };
        *held = Arc::clone(&letter);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_collected_once() {
        let mailbox = Mailbox::new(Letter { generation: 1, value: "a" });
        let mut held = mailbox.latest();
        assert!(!mailbox.collect(&mut held));
        mailbox.post(Letter { generation: 2, value: "b" });
        assert!(mailbox.collect(&mut held));
        assert_eq!((held.generation, held.value), (2, "b"));
        assert!(!mailbox.collect(&mut held));
    }

    #[test]
    fn a_reader_among_many_letters_sees_the_last() {
        let mailbox = Arc::new(Mailbox::new(Letter { generation: 0, value: 0u64 }));
        let reader = {
            let mailbox = Arc::clone(&mailbox);
            std::thread::spawn(move || {
                let mut held = mailbox.latest();
                let mut before = 0;
                while held.value < 10_000 {
                    if mailbox.collect(&mut held) {
                        assert!(held.value > before && held.value == held.generation);
                        before = held.value;
                    }
                }
            })
        };
        for generation in 1..=10_000 {
            mailbox.post(Letter { generation, value: generation });
        }
        reader.join().expect("the reader saw every value in order");
    }
}
