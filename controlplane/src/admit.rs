//! Who has a connection of the API, and who gets none.
//!
//! There is room for so many connections. TCP has half of it: on the loopback everybody has one address, and one user should not keep
//! the others out; so the sockets of `unix:` have room in any case. One address, and one user id, has three eighths. Where there is
//! none left, the connection that has been idle longest makes room: first one that has not sent its preface, then one without a call.
//! Only where every one has a call the newcomer is turned away.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a newcomer waits until the connection that makes room has ended.
const ROOM: Duration = Duration::from_millis(100);

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Over TCP, from this address.
    Tcp(SocketAddr),
    /// Over a Unix socket, this user; `None` where the system does not say.
    Unix(Option<u32>),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(Some(user)) => write!(f, "uid {user}"),
            Self::Unix(None) => write!(f, "a user that is not known"),
        }
    }
}

/// Who shares one share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Address(IpAddr),
    User(Option<u32>),
}

impl Peer {
    fn holder(self) -> Holder {
        match self {
            Self::Tcp(address) => Holder::Address(address.ip().to_canonical()),
            Self::Unix(user) => Holder::User(user),
        }
    }

    fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp(_))
    }
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
    pub made_room: AtomicU64,
    pub no_preface: AtomicU64,
    pub idle: AtomicU64,
    pub accept_errors: AtomicU64,
    pub streams_cut: AtomicU64,
}

/// Counts one more.
pub(crate) fn more(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed).saturating_add(1)
}

/// One connection as the door knows it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The other end.
    pub peer: Peer,
    /// Ends it at once.
    pub hang_up: Notify,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Its preface was read.
    greeted: bool,
    /// Calls that have begun and not ended.
    calls: u32,
    /// Since when it has none.
    since: Instant,
}

/// A call; it has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Call(Arc<Connection>);

impl Connection {
    /// The preface was read.
    pub(crate) fn greeted(&self) {
        let mut state = self.state.lock();
        state.greeted = true;
        state.since = Instant::now();
    }

    /// A call begins.
    pub(crate) fn call(self: &Arc<Self>) -> Call {
        self.state.lock().calls += 1;
        Call(Arc::clone(self))
    }

    /// Since when it has no call; `None` while it has.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (state.calls == 0).then_some(state.since)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.calls = state.calls.saturating_sub(1);
        state.since = Instant::now();
    }
}

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    all: usize,
    tcp: usize,
    one: usize,
}

impl Shares {
    /// Of so many in all.
    pub(crate) fn of(all: usize) -> Self {
        let all = all.max(4);
        Self { all, tcp: all / 2, one: (all * 3 / 8).max(1) }
    }
}

/// Whether a connection counts for a limit.
type Belongs<'a> = &'a dyn Fn(&Connection) -> bool;

/// Every connection there is.
#[derive(Debug)]
pub(crate) struct Registry {
    shares: Shares,
    open: Mutex<BTreeMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    ended: Notify,
    /// What was counted.
    pub counters: Counters,
}

/// The place of a connection; another has it when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    registry: Arc<Registry>,
    number: u64,
    /// The connection.
    pub connection: Arc<Connection>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.open.lock().remove(&self.number);
        self.registry.ended.notify_waiters();
    }
}

impl Registry {
    /// With room for so many.
    pub(crate) fn new(shares: Shares) -> Arc<Self> {
        let (open, next, ended, counters) = (Mutex::default(), AtomicU64::new(0), Notify::new(), Counters::default());
        Arc::new(Self { shares, open, next, ended, counters })
    }

    /// How many there are, and how many there may be.
    pub(crate) fn room(&self) -> (usize, usize) {
        (self.open.lock().len(), self.shares.all)
    }

    /// A place for a newcomer, where need be of one that is idle. `None`: there is none.
    pub(crate) async fn admit(self: &Arc<Self>, peer: Peer) -> Option<Place> {
        loop {
            // Before the look, so that no end is missed.
            let ended = self.ended.notified();
            let victim = match self.place(peer) {
                Ok(place) => return Some(place),
                Err(victim) => victim?,
            };
            more(&self.counters.made_room);
            victim.hang_up.notify_one();
            // The descriptor is free when it has ended. One that does not end in time has a place all the same.
            tokio::time::timeout(ROOM, ended).await.ok()?;
        }
    }

    /// Ends the connection that has been idle longest, because there are no descriptors. Says whether there was one.
    pub(crate) fn shed(&self) -> bool {
        let open = self.open.lock();
        let victim = longest_idle(open.values());
        if let Some(victim) = victim {
            more(&self.counters.made_room);
            victim.hang_up.notify_one();
        }
        victim.is_some()
    }

    /// A place, or who could make room for one.
    fn place(self: &Arc<Self>, peer: Peer) -> Result<Place, Option<Arc<Connection>>> {
        let mut open = self.open.lock();
        let holder = peer.holder();
        let limits: [(usize, Belongs<'_>); 3] = [
            (self.shares.one, &|c| c.peer.holder() == holder),
            (if peer.is_tcp() { self.shares.tcp } else { usize::MAX }, &|c| c.peer.is_tcp()),
            (self.shares.all, &|_| true),
        ];
        for (most, belongs) in limits {
            if open.values().filter(|c| belongs(c)).count() >= most {
                return Err(longest_idle(open.values().filter(|c| belongs(c))).map(Arc::clone));
            }
        }
        let state = Mutex::new(State { greeted: false, calls: 0, since: Instant::now() });
        let connection = Arc::new(Connection { peer, hang_up: Notify::new(), state });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        open.insert(number, Arc::clone(&connection));
        more(&self.counters.accepted);
        Ok(Place { registry: Arc::clone(self), number, connection })
    }
}

/// One without a call, longest: first those that have not sent their preface.
fn longest_idle<'a>(all: impl Iterator<Item = &'a Arc<Connection>>) -> Option<&'a Arc<Connection>> {
    let state = |c: &Arc<Connection>| *c.state.lock();
    all.map(|c| (state(c), c)).filter(|(s, _)| s.calls == 0).min_by_key(|(s, _)| (s.greeted, s.since)).map(|(_, c)| c)
}

/// Streams of one kind: so many in all, of which one address or user has three quarters.
#[derive(Debug)]
pub(crate) struct Streams {
    most: usize,
    held: Mutex<Vec<Option<Holder>>>,
}

/// The seat of a stream; another has it when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    streams: Arc<Streams>,
    holder: Option<Holder>,
}

impl Streams {
    /// So many in all.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    /// A seat. `None`: there is none, for this one or for anybody.
    pub(crate) fn take(self: &Arc<Self>, connection: Option<&Connection>) -> Option<Seat> {
        let holder = connection.map(|c| c.peer.holder());
        let mut held = self.held.lock();
        if held.len() >= self.most || held.iter().filter(|h| **h == holder).count() >= self.most * 3 / 4 {
            return None;
        }
        held.push(holder);
        Some(Seat { streams: Arc::clone(self), holder })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut held = self.streams.held.lock();
        if let Some(at) = held.iter().position(|h| *h == self.holder) {
            held.swap_remove(at);
        }
    }
}

/// A line in the log about what may happen often: the first at once, then one in a while with how often it was.
#[derive(Debug)]
pub(crate) struct Seldom {
    said: Mutex<Option<(Instant, u64)>>,
}

/// Seconds between two lines of one kind.
const SELDOM: Duration = Duration::from_secs(10);

impl Seldom {
    /// Nothing was said yet.
    pub(crate) const fn new() -> Self {
        Self { said: Mutex::new(None) }
    }

    /// It happened, now `count` times in all: how many of them to say now, if any.
    pub(crate) fn happened(&self, count: u64) -> Option<u64> {
        let mut said = self.said.lock();
        let before = match *said {
            Some((at, _)) if at.elapsed() < SELDOM => return None,
            Some((_, before)) => before,
            None => 0,
        };
        *said = Some((Instant::now(), count));
        Some(count.saturating_sub(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(last: u8, port: u16) -> Peer {
        Peer::Tcp(SocketAddr::from(([192, 0, 2, last], port)))
    }

    /// A connection that ends when it is told to.
    fn keep(place: Place) {
        tokio::spawn(async move {
            place.connection.hang_up.notified().await;
            drop(place);
        });
    }

    #[tokio::test]
    async fn nobody_takes_every_place() {
        let registry = Registry::new(Shares::of(16));
        let mut held = Vec::new();
        let mut calls = Vec::new();
        let mut take = async |peer: Peer| {
            let place = registry.admit(peer).await;
            if let Some(place) = &place {
                calls.push(place.connection.call());
            }
            let got = place.is_some();
            held.extend(place);
            got
        };
        for n in 0..6 {
            assert!(take(tcp(1, n)).await, "three eighths are its share");
        }
        assert!(!take(tcp(1, 9)).await);
        assert!(take(tcp(2, 1)).await && take(tcp(2, 2)).await);
        assert!(!take(tcp(3, 1)).await, "half is for TCP");
        for _ in 0..6 {
            assert!(take(Peer::Unix(Some(1000))).await);
        }
        assert!(!take(Peer::Unix(Some(1000))).await);
        assert!(take(Peer::Unix(Some(0))).await, "another user gets in");
        assert_eq!(registry.room(), (15, 16));
        held.truncate(1);
        assert_eq!(registry.room(), (1, 16));
    }

    #[tokio::test]
    async fn who_is_idle_longest_makes_room_first_without_a_preface() {
        let registry = Registry::new(Shares::of(8));
        let first = registry.admit(tcp(1, 1)).await.expect("room");
        first.connection.greeted();
        let second = registry.admit(tcp(1, 2)).await.expect("room");
        let third = registry.admit(tcp(1, 3)).await.expect("room");
        let (one, two, three) = (Arc::clone(&first.connection), Arc::clone(&second.connection), Arc::clone(&third.connection));
        let call = one.call();
        for place in [first, second, third] {
            keep(place);
        }
        keep(registry.admit(tcp(1, 4)).await.expect("of the second"));
        assert_eq!((Arc::strong_count(&two), registry.room().0), (1, 3), "it had no preface, and was there before the third");
        keep(registry.admit(tcp(1, 5)).await.expect("of the third"));
        assert_eq!(Arc::strong_count(&three), 1);
        drop(call);
        assert!(one.idle_since().is_some());
        assert_eq!(registry.counters.made_room.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_happens_often_is_said_seldom() {
        let seldom = Seldom::new();
        assert_eq!(seldom.happened(1), Some(1));
        assert_eq!(seldom.happened(2), None);
        *seldom.said.lock() = Some((Instant::now() - SELDOM, 1));
        assert_eq!(seldom.happened(50), Some(49));
    }
}
