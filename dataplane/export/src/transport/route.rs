//! Which address of a collector's name is tried next, and when.
//!
//! A round tries all addresses of the name, in the order of the resolver, one behind the other. One that works is kept. When none does, there is a
//! pause, which grows from a fifth of [`Timing::retry`] to the whole of it, and the name is resolved again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::resolve::Resolver;
use super::{Now, Timing};

/// The way to a collector.
#[derive(Debug)]
pub(super) struct Route {
    resolver: Resolver,
    timing: Timing,
    /// Addresses of this round; none between two rounds.
    addresses: Vec<SocketAddr>,
    /// How many of them were tried.
    tried: usize,
    /// Why they do not work, one sentence each.
    faults: Vec<String>,
    pause: Duration,
    /// The next round begins then.
    round_at: Instant,
    /// The last round ended without one that works.
    failed: bool,
    trouble: String,
}

impl Route {
    /// To "host:port", which is resolved later.
    pub(super) fn new(address: &str, timing: Timing, now: Now) -> Self {
        let (resolver, pause, round_at) = (Resolver::new(address), timing.retry / 5, now.instant);
        Self {
            resolver,
            timing,
            addresses: Vec::new(),
            tried: 0,
            faults: Vec::new(),
            pause,
            round_at,
            failed: false,
            trouble: String::new(),
        }
    }

    /// The address to try now; `None`: not yet.
    pub(super) fn next(&mut self, now: Now) -> Option<SocketAddr> {
        if self.tried == self.addresses.len() {
            if now.instant < self.round_at {
                return None;
            }
            match self.resolver.poll()? {
                Ok(found) => {
                    self.addresses = found;
                    self.tried = 0;
                    self.faults.clear();
                }
                Err(sentence) => {
                    self.faults = vec![sentence];
                    self.end(now);
                    return None;
                }
            }
        }
        let address = self.addresses.get(self.tried).copied();
        self.tried += 1;
        address
    }

    /// The address that was tried last does not work, or not any more.
    pub(super) fn failed(&mut self, now: Now, why: String) {
        self.trouble = said(&why, self.timing.retry);
        self.faults.push(why);
        if self.tried == self.addresses.len() {
            self.end(now);
        }
    }

    /// The address that was tried last works: when it does not any more, the others are tried before it is again.
    pub(super) fn works(&mut self) {
        self.addresses.rotate_left(self.tried.saturating_sub(1));
        self.tried = self.addresses.len().min(1);
        self.faults.clear();
        self.failed = false;
        self.pause = self.timing.retry / 5;
    }

    /// None of them works.
    fn end(&mut self, now: Now) {
        self.trouble = said(&self.faults.join("; "), self.timing.retry);
        self.failed = true;
        self.addresses.clear();
        self.tried = 0;
        self.round_at = now.instant + self.pause;
        self.pause = (self.pause * 2).min(self.timing.retry);
    }

    /// Whether the last round ended without an address that works.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The last trouble, in a sentence; after a round that failed it names every address.
    pub(super) fn trouble(&self) -> &str {
        &self.trouble
    }

    /// Another trouble than that of an address.
    pub(super) fn say(&mut self, sentence: String) {
        self.trouble = sentence;
    }
}

fn said(why: &str, retry: Duration) -> String {
    let stop = if why.ends_with('?') { "" } else { ";" };
    format!("{why}{stop} retrying every {} s", retry.as_secs_f32())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_tried_in_turn_and_the_one_that_works_is_kept() {
        let [a, b, c]: [SocketAddr; 3] = ["[2001:db8::1]:4739", "192.0.2.1:4739", "192.0.2.2:4739"].map(|text| text.parse().expect("good"));
        let timing = Timing { retry: Duration::from_secs(5), ..Timing::default() };
        let start = Now::read();
        let at = |ms: u64| Now { instant: start.instant + Duration::from_millis(ms), ..start };
        let mut route = Route::new("collector.example:4739", timing, start);
        route.resolver = Resolver::of(vec![a, b, c]);
        assert_eq!(route.next(at(0)), Some(a));
        route.failed(at(0), format!("{a} refused"));
        assert_eq!((route.next(at(0)), route.has_failed()), (Some(b), false), "the next one at once");
        route.works();
        route.failed(at(10), format!("{b} refused"));
        assert_eq!(route.next(at(10)), Some(c), "not the one that has just failed");
        route.failed(at(20), format!("{c} refused"));
        assert_eq!(route.next(at(20)), Some(a));
        route.failed(at(30), format!("{a} refused"));
        assert!(route.has_failed());
        assert_eq!(route.trouble(), format!("{b} refused; {c} refused; {a} refused; retrying every 5 s"));
        // The pauses grow, and there is an end to it.
        let mut now = 30;
        for pause in [1000, 2000, 4000, 5000, 5000] {
            assert_eq!((route.next(at(now)), route.next(at(now + pause - 1))), (None, None));
            now += pause;
            for address in [a, b, c] {
                assert_eq!(route.next(at(now)), Some(address));
                route.failed(at(now), format!("{address} refused"));
            }
        }
        assert_eq!(route.next(at(now + 5000)), Some(a));
        route.works();
        assert!(!route.has_failed());
    }
}
