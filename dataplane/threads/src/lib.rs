//! threads: what becomes of a thread that ends by a fault of the program. It is said, and the thread begins again after a pause.
//!
//! Not here: workers and the dispatcher of the dataplane. What they had is lost with them, so the dataplane stops, and whoever supervises the
//! process starts it again.
#![forbid(unsafe_code)]

mod trap;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(debug_assertions)]
pub use trap::arm;
pub use trap::{trap, trap_as};

/// A pause looks so often whether it is over.
const LOOK: Duration = Duration::from_millis(5);

/// How long the pauses before a new beginning are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// The first one; each further one is twice as long.
    pub first: Duration,
    /// The longest. What lives longer than this begins with the first pause again.
    pub longest: Duration,
}

impl Pauses {
    /// Of all threads of both processes.
    pub const USUAL: Self = Self { first: Duration::from_secs(1), longest: Duration::from_secs(60) };
}

/// The end of a thread by a fault of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// What the panic said.
    pub reason: String,
    /// It begins again after so long.
    pub pause: Duration,
}

/// Counts deaths, and says how long each pause is.
#[derive(Clone, Copy, Debug)]
pub struct Lives {
    pauses: Pauses,
    next: Duration,
    began: Instant,
}

impl Lives {
    /// The first one begins now.
    pub fn new(pauses: Pauses) -> Self {
        Self { pauses, next: pauses.first, began: Instant::now() }
    }

    /// One has ended by this panic.
    pub fn died(&mut self, panic: &(dyn Any + Send)) -> Death {
        if self.began.elapsed() > self.pauses.longest {
            self.next = self.pauses.first;
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.pauses.longest);
        Death { reason: reason(panic), pause }
    }

    /// The next one begins now.
    pub fn begin(&mut self) {
        self.began = Instant::now();
    }
}

/// What a panic said.
pub fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}

/// Runs `life` until it returns; one that panics begins again after a pause, and `died` hears of it. Where `stop` is said in a pause, it begins
/// at once, for the last time; `None` when it panics although `stop` was said.
///
/// What `life` changes must be of use after a panic.
pub fn supervise<T>(pauses: Pauses, stop: &AtomicBool, mut life: impl FnMut() -> T, mut died: impl FnMut(&Death)) -> Option<T> {
    let mut lives = Lives::new(pauses);
    loop {
        lives.begin();
        let panic = match catch_unwind(AssertUnwindSafe(&mut life)) {
            Ok(result) => return Some(result),
            Err(panic) => panic,
        };
        let death = lives.died(&*panic);
        died(&death);
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let until = Instant::now() + death.pause;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            thread::sleep(LOOK.min(death.pause));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Pauses = Pauses { first: Duration::from_millis(1), longest: Duration::from_millis(4) };

    #[test]
    fn what_dies_begins_again_after_growing_pauses() {
        let (mut lives, mut pauses) = (0, Vec::new());
        let life = || {
            lives += 1;
            assert!(lives > 4, "life {lives}");
            lives
        };
        let result = supervise(QUICK, &AtomicBool::new(false), life, |death| pauses.push((death.reason.clone(), death.pause.as_millis())));
        assert_eq!(result, Some(5));
        assert_eq!(pauses, [("life 1".to_owned(), 1), ("life 2".to_owned(), 2), ("life 3".to_owned(), 4), ("life 4".to_owned(), 4)]);
    }

    #[test]
    fn a_stop_ends_a_pause_and_there_is_one_more_life() {
        let stop = AtomicBool::new(false);
        let pauses = Pauses { first: Duration::from_secs(3600), longest: Duration::from_secs(3600) };
        for last_dies in [false, true] {
            stop.store(false, Ordering::Relaxed);
            let life = || {
                if !stop.load(Ordering::Relaxed) || last_dies {
                    std::panic::panic_any(7)
                }
            };
            let (tell, told) = std::sync::mpsc::channel();
            let died = |death: &Death| tell.send(death.reason.clone()).expect("it is waited for");
            let thread = thread::scope(|scope| {
                let lived = scope.spawn(|| supervise(pauses, &stop, life, died));
                assert_eq!(told.recv().as_deref(), Ok("a panic without a text"));
                // It looks at `stop` once more before the pause: that it is not said by then is all but certain.
                thread::sleep(Duration::from_millis(500));
                stop.store(true, Ordering::Relaxed);
                lived.join()
            });
            assert_eq!(thread.expect("the panics are caught").is_none(), last_dies);
        }
    }

    #[test]
    fn what_has_lived_long_begins_with_the_first_pause() {
        let mut lives = Lives::new(QUICK);
        let pauses: Vec<_> = (0..3).map(|_| lives.died(&"").pause).collect();
        assert_eq!(pauses.last(), Some(&QUICK.longest));
        lives.begin();
        thread::sleep(QUICK.longest * 2);
        assert_eq!(lives.died(&"").pause, QUICK.first);
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_trap_ends_the_thread_of_its_name_once() {
        arm("trapped");
        let life = || thread::Builder::new().name("trapped".into()).spawn(trap).map(thread::JoinHandle::join);
        assert!(life().expect("a thread").is_err());
        assert!(life().expect("a thread").is_ok());
        trap();
    }
}
