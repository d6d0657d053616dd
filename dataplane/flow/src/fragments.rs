//! Ports for fragments that have none: those of the first fragment, before or after it.
//!
//! ICMP's type and code, where they are in the key, stand in the place of ports (`icmp`).
//!
//! Only the first fragment of a packet has the transport header (RFC 791 section 3.2, RFC 8200 section 4.5). Without this, the
//! others would make a flow of their own with ports 0. What one worker remembers is bounded: [`PLACES`] first fragments, and
//! [`WAITING`] fragments that came before theirs, with the beginning of their frames: one that waits in vain begins a flow. Packets
//! that are no fragments never come here.
//!
//! Not here: reassembly. Fragments that overlap are counted as they come.

use sonde_packet::{Frame, Headers, Link, Network, has_ports};
use sonde_record::View;

use crate::icmp::is_icmp;
use crate::packet::BURST;

/// Places: what one worker remembers of first fragments.
const PLACES: usize = 4096;
/// Fragments that wait for their first one, in rows of [`ROW`].
const WAITING: usize = 2048;
/// Fragments of one identity that can wait: they share a row with those of other identities.
const ROW: usize = 8;
/// Octets kept of the frame of a fragment that waits: enough for a tunnel of IPv6 in IPv6 with two tags.
const HEAD: usize = 192;
/// Fragments that a burst can take from those that wait: each of its two lanes takes [`BURST`] packets.
const GONE: usize = 2 * BURST;
/// Rows that a burst looks through for fragments that have waited too long.
const ROWS_PER_BURST: usize = 4;
/// A first fragment is believed for so long: fragments that come later would not be reassembled either (RFC 8200 section 4.5).
const AGE_MAX: u64 = 60_000_000_000;
/// A fragment waits for its first one so long. What is reordered in a network is so by milliseconds.
const WAIT_MAX: u64 = 2_000_000_000;

/// What all fragments of a packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    network: Network,
    id: u32,
    vlan: u32,
    /// The virtual network of a tunnel, 0 outside.
    overlay: u32,
    protocol: u8,
}

#[derive(Clone, Copy, Debug)]
struct First {
    identity: Identity,
    ports: [u16; 2],
    time: u64,
}

/// A packet as far as metering needs it, when its frame is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) headers: Headers,
    pub(crate) view: View,
    /// The virtual network of a tunnel, 0 outside.
    pub(crate) overlay: u32,
    pub(crate) vlan: u32,
    pub(crate) wire_len: u32,
    pub(crate) time: u64,
    /// Whether the frame is counted by this packet: one that is metered twice is not.
    pub(crate) counts: bool,
    /// Subframe of an A-MSDU, by its offset in the frame; 0: the first one, or the frame has none.
    pub(crate) part: u16,
}

/// The beginning of a frame that is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    bytes: [u8; HEAD],
    len: u8,
    link: Link,
    port: u16,
    wire_len: u32,
    time: u64,
}

impl Head {
    const NONE: Self = Self { bytes: [0; HEAD], len: 0, link: Link::Unknown, port: 0, wire_len: 0, time: 0 };

    fn of(frame: &Frame<'_>) -> Self {
        let mut head = Self { link: frame.link, port: frame.port, wire_len: frame.wire_len, time: frame.time, ..Self::NONE };
        for (to, from) in head.bytes.iter_mut().zip(frame.bytes) {
            *to = *from;
        }
        head.len = u8::try_from(frame.bytes.len().min(HEAD)).unwrap_or(0);
        head
    }

    /// The frame, as if no more of it had been captured.
    pub(crate) fn frame(&self) -> Frame<'_> {
        let Self { link, port, wire_len, time, .. } = *self;
        Frame { bytes: self.bytes.get(..usize::from(self.len)).unwrap_or(&[]), wire_len, link, port, time }
    }
}

impl Held {
    fn identity(&self) -> Identity {
        Identity {
            network: self.headers.network,
            id: self.headers.fragment.id,
            vlan: self.vlan,
            overlay: self.overlay,
            protocol: self.headers.protocol,
        }
    }
}

/// First fragments lately seen, and fragments that wait for theirs. Memory and work are bounded whatever arrives.
#[derive(Debug)]
pub(crate) struct Fragments {
    /// A place is taken by whoever comes last.
    places: Vec<Option<First>>,
    waiting: Vec<[Option<Held>; ROW]>,
    /// The frames of those that wait, row by row.
    heads: Vec<Head>,
    held: usize,
    /// The frames of those that wait no longer, until the end of the burst.
    gone: Vec<Head>,
    /// Rows whose first fragment has come in this burst.
    ready: [u16; 64],
    ready_len: usize,
    /// Next row to look through for those that have waited too long.
    row: usize,
    seed: u64,
}

/// What becomes of a fragment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It is metered now.
    Meter(Held),
    /// It waits. Another one waits no longer, because there is no place for both: the number of its frame stands beside it.
    Wait(Option<(Held, u16)>),
}

impl Fragments {
    /// Remembers nothing yet. `seed` keeps others from choosing whose place they take.
    pub(crate) fn new(seed: u64) -> Self {
        let waiting = vec![[None; ROW]; WAITING / ROW];
        let (heads, gone) = (vec![Head::NONE; WAITING], Vec::with_capacity(GONE));
        Self { places: vec![None; PLACES], waiting, heads, held: 0, gone, ready: [0; 64], ready_len: 0, row: 0, seed }
    }

    /// Fragments that wait.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// The frames of the fragments that waited and are metered in this burst, numbered from [`BURST`].
    pub(crate) fn gone(&self) -> &[Head] {
        &self.gone
    }

    /// The burst is over: nobody looks at the frames of its fragments any more.
    #[inline(always)]
    pub(crate) fn forget_gone(&mut self) {
        self.gone.clear();
    }

    /// Remembers a first fragment; gives another its ports where they are known, and else lets it wait. `icmp`: whether ICMP has a number
    /// in the place of ports.
    pub(crate) fn resolve(&mut self, mut packet: Held, frame: &Frame<'_>, icmp: bool) -> Outcome {
        let fragment = packet.headers.fragment;
        let ported = has_ports(packet.headers.protocol) || (icmp && is_icmp(packet.headers.protocol));
        if !fragment.is_fragment() || !ported {
            return Outcome::Meter(packet);
        }
        let identity = packet.identity();
        let hash = self.hash(&identity);
        if fragment.offset == 0 {
            // Ports that were not captured are no ports.
            if packet.headers.sport | packet.headers.dport != 0 {
                let ports = [packet.headers.sport, packet.headers.dport];
                if let Some(place) = self.places.get_mut(hash % PLACES) {
                    *place = Some(First { identity, ports, time: packet.time });
                }
                self.note_ready(hash);
            }
            return Outcome::Meter(packet);
        }
        match self.ports(hash, &identity, packet.time) {
            Some(ports) => {
                [packet.headers.sport, packet.headers.dport] = ports;
                Outcome::Meter(packet)
            }
            None => Outcome::Wait(self.wait(hash, packet, frame)),
        }
    }

    /// Hands over fragments that wait no longer, with their ports or without: those whose first one has come, those that have waited
    /// too long. `take` has the number of the frame, too, and says whether it had room; what it does not take goes on waiting.
    pub(crate) fn release(&mut self, now: u64, mut take: impl FnMut(&Held, u16) -> bool) {
        if self.held == 0 {
            self.ready_len = 0;
            return;
        }
        for at in 0..std::mem::take(&mut self.ready_len) {
            let row = self.ready.get(at).copied().unwrap_or(0);
            self.release_row(usize::from(row), now, WAIT_MAX, &mut take);
        }
        for _ in 0..ROWS_PER_BURST {
            let row = self.row;
            self.row = (row + 1) % self.waiting.len();
            self.release_row(row, now, WAIT_MAX, &mut take);
        }
    }

    /// As [`Fragments::release`], for all: nothing more will come.
    pub(crate) fn release_all(&mut self, now: u64, mut take: impl FnMut(&Held, u16) -> bool) {
        for row in 0..self.waiting.len() {
            self.release_row(row, now, 0, &mut take);
        }
    }

    fn release_row(&mut self, row: usize, now: u64, wait_max: u64, take: &mut impl FnMut(&Held, u16) -> bool) {
        for at in 0..ROW {
            let Some(mut packet) = self.waiting.get(row).and_then(|row| row.get(at)).copied().flatten() else { continue };
            let identity = packet.identity();
            match self.ports(self.hash(&identity), &identity, packet.time) {
                Some(ports) => [packet.headers.sport, packet.headers.dport] = ports,
                None if now.saturating_sub(packet.time) >= wait_max => {}
                None => continue,
            }
            if take(&packet, self.next_gone()) {
                self.keep_gone(row * ROW + at);
                self.held -= 1;
                if let Some(place) = self.waiting.get_mut(row).and_then(|row| row.get_mut(at)) {
                    *place = None;
                }
            }
        }
    }

    /// Ports of the first fragment, when it is known and not too far away in time.
    fn ports(&self, hash: usize, identity: &Identity, time: u64) -> Option<[u16; 2]> {
        let first = self.places.get(hash % PLACES)?.as_ref()?;
        (first.identity == *identity && time.abs_diff(first.time) <= AGE_MAX).then_some(first.ports)
    }

    /// Lets a fragment wait, in the place of the oldest of its row if there is none.
    fn wait(&mut self, hash: usize, packet: Held, frame: &Frame<'_>) -> Option<(Held, u16)> {
        let row = hash % self.waiting.len();
        let places = self.waiting.get_mut(row)?.iter_mut().enumerate();
        let (at, place) = places.min_by_key(|(_, held)| held.map_or(0, |held| held.time))?;
        let displaced = place.replace(packet);
        let number = self.next_gone();
        if displaced.is_some() {
            self.keep_gone(row * ROW + at);
        } else {
            self.held += 1;
        }
        if let Some(head) = self.heads.get_mut(row * ROW + at) {
            *head = Head::of(frame);
        }
        displaced.map(|displaced| (displaced, number))
    }

    /// The number of the next frame of a fragment that waits no longer.
    fn next_gone(&self) -> u16 {
        u16::try_from(BURST + self.gone.len()).unwrap_or(u16::MAX)
    }

    /// Keeps the frame of a fragment that waits no longer for the rest of the burst.
    fn keep_gone(&mut self, place: usize) {
        if let (Some(head), true) = (self.heads.get(place), self.gone.len() < GONE) {
            self.gone.push(*head);
        }
    }

    /// A first fragment has come: those that wait for it need not.
    fn note_ready(&mut self, hash: usize) {
        let row = u16::try_from(hash % self.waiting.len()).unwrap_or(0);
        if self.held > 0
            && let Some(place) = self.ready.get_mut(self.ready_len)
        {
            *place = row;
            self.ready_len += 1;
        }
    }

    fn hash(&self, identity: &Identity) -> usize {
        let (a, b) = match identity.network {
            Network::V4(src, dst) => (u64::from(u32::from_be_bytes(src)), u64::from(u32::from_be_bytes(dst))),
            Network::V6(src, dst) => (half(&src), half(&dst)),
            Network::None => (0, 0),
        };
        let rest = u64::from(identity.vlan) << 8 | u64::from(identity.protocol);
        let mut hash = self.seed;
        for word in [a, b, u64::from(identity.id) << 32 | u64::from(identity.overlay), rest] {
            let wide = u128::from(hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            hash = (wide >> 64) as u64 ^ word.rotate_left(29);
        }
        (hash >> 32) as usize
    }
}

/// Both halves of an IPv6 address in one word.
fn half(address: &[u8; 16]) -> u64 {
    let (words, _) = address.as_chunks::<8>();
    words.iter().fold(0, |sum, word| sum ^ u64::from_be_bytes(*word).rotate_left(17))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_packet::Fragment;

    const BYTES: [u8; 256] = {
        let (mut bytes, mut at, mut value) = ([0; 256], 0, 0u8);
        while at < 256 {
            bytes[at] = value;
            (at, value) = (at + 1, value.wrapping_add(7));
        }
        bytes
    };

    fn fragment(id: u32, offset: u16, sport: u16, time: u64) -> Held {
        let headers = Headers {
            network: Network::V4([10, 0, 0, 1], [10, 0, 0, 2]),
            protocol: 17,
            fragment: Fragment { id, offset, more: true },
            sport,
            dport: if sport == 0 { 0 } else { 53 },
            ..Headers::default()
        };
        Held { headers, view: View::First, overlay: 0, vlan: 5, wire_len: 100, time, counts: true, part: 0 }
    }

    /// The frame of a fragment: its octets tell its time.
    fn frame_of(packet: &Held) -> Frame<'static> {
        let bytes: &[u8] = &BYTES;
        let bytes = bytes.get(..usize::try_from(packet.time).unwrap_or(usize::MAX).min(BYTES.len())).unwrap_or(bytes);
        Frame { bytes, wire_len: packet.wire_len, link: Link::Ethernet, port: 4, time: packet.time }
    }

    fn ports(held: &Held) -> (u16, u16) {
        (held.headers.sport, held.headers.dport)
    }

    /// Ports a fragment is metered with; `None` when it waits.
    fn resolve(fragments: &mut Fragments, packet: Held) -> Option<(u16, u16)> {
        match fragments.resolve(packet, &frame_of(&packet), true) {
            Outcome::Meter(held) => Some(ports(&held)),
            Outcome::Wait(displaced) => {
                assert_eq!(displaced, None, "there is room");
                None
            }
        }
    }

    fn released(fragments: &mut Fragments, now: u64) -> Vec<(u16, u16)> {
        let mut all = Vec::new();
        fragments.release(now, |held, _| {
            all.push(ports(held));
            true
        });
        all
    }

    #[test]
    fn later_fragments_have_the_ports_of_the_first() {
        let mut fragments = Fragments::new(1);
        assert_eq!(resolve(&mut fragments, fragment(7, 0, 4000, 1)), Some((4000, 53)));
        assert_eq!(resolve(&mut fragments, fragment(7, 1480, 0, 2)), Some((4000, 53)));
        assert_eq!(resolve(&mut fragments, fragment(7, 2960, 0, AGE_MAX + 1)), Some((4000, 53)));
        assert_eq!(resolve(&mut fragments, fragment(7, 2960, 0, AGE_MAX + 2)), None, "too late");
    }

    #[test]
    fn earlier_fragments_wait_for_the_first() {
        let mut fragments = Fragments::new(1);
        assert_eq!(resolve(&mut fragments, fragment(7, 1480, 0, 1)), None);
        assert_eq!(resolve(&mut fragments, fragment(7, 2960, 0, 2)), None);
        assert_eq!(resolve(&mut fragments, fragment(8, 1480, 0, 2)), None);
        assert_eq!((released(&mut fragments, 3), fragments.held()), (vec![], 3));
        assert_eq!(resolve(&mut fragments, fragment(7, 0, 4000, 4)), Some((4000, 53)));
        assert_eq!((released(&mut fragments, 4), fragments.held()), (vec![(4000, 53); 2], 1));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut fragments = Fragments::new(1);
        assert_eq!(resolve(&mut fragments, fragment(7, 1480, 0, 1)), None);
        // A burst looks through some rows only.
        let passes = WAITING / ROW / ROWS_PER_BURST;
        let early: Vec<_> = (0..passes).flat_map(|_| released(&mut fragments, WAIT_MAX)).collect();
        assert_eq!(early, []);
        let late: Vec<_> = (0..passes).flat_map(|_| released(&mut fragments, WAIT_MAX + 1)).collect();
        assert_eq!((late, fragments.held()), (vec![(0, 0)], 0));
        assert_eq!(resolve(&mut fragments, fragment(7, 1480, 0, 1)), None);
        let mut all = Vec::new();
        fragments.release_all(1, |held, _| {
            all.push(ports(held));
            true
        });
        assert_eq!((all, fragments.held()), (vec![(0, 0)], 0), "nothing more will come");
    }

    #[test]
    fn what_finds_no_room_goes_on_waiting() {
        let mut fragments = Fragments::new(1);
        resolve(&mut fragments, fragment(7, 1480, 0, 1));
        resolve(&mut fragments, fragment(7, 0, 4000, 2));
        fragments.release(2, |_, _| false);
        assert_eq!(fragments.held(), 1);
        let later: Vec<_> = (0..WAITING).flat_map(|_| released(&mut fragments, 2)).collect();
        assert_eq!((later, fragments.held()), (vec![(4000, 53)], 0));
    }

    #[test]
    fn whatever_identifies_a_packet_keeps_its_fragments_apart() {
        let mut fragments = Fragments::new(1);
        resolve(&mut fragments, fragment(7, 0, 4000, 1));
        let with = |headers| Held { headers, ..fragment(7, 8, 0, 2) };
        let plain = fragment(7, 8, 0, 2).headers;
        for packet in [
            fragment(8, 8, 0, 2),
            Held { vlan: 6, ..fragment(7, 8, 0, 2) },
            Held { overlay: 6, ..fragment(7, 8, 0, 2) },
            with(Headers { protocol: 6, ..plain }),
            with(Headers { network: Network::V4([10, 0, 0, 2], [10, 0, 0, 1]), ..plain }),
            with(Headers { network: Network::V6([0; 16], [0; 16]), ..plain }),
        ] {
            assert_eq!(resolve(&mut fragments, packet), None);
        }
        assert_eq!(resolve(&mut fragments, fragment(7, 8, 0, 2)), Some((4000, 53)));
    }

    #[test]
    fn a_protocol_without_ports_is_left_alone() {
        let mut fragments = Fragments::new(1);
        // GRE; and ICMP, where its type is not in the key.
        for protocol in [47, 1] {
            for offset in [0, 8] {
                let packet = fragment(7, offset, 0, 1);
                let packet = Held { headers: Headers { protocol, sport: 0, dport: 0, ..packet.headers }, ..packet };
                assert_eq!(fragments.resolve(packet, &frame_of(&packet), protocol != 1), Outcome::Meter(packet));
            }
        }
    }

    #[test]
    fn a_flood_of_fragments_takes_no_more_memory() {
        let mut fragments = Fragments::new(1);
        for id in 0..100_000 {
            resolve(&mut fragments, fragment(id, 0, 1 + (id % 60_000) as u16, 1));
        }
        assert_eq!(fragments.places.len(), PLACES);
        let try_one =
            |id: u32, fragments: &mut Fragments| fragments.resolve(fragment(id, 8, 0, 1), &frame_of(&fragment(id, 8, 0, 1)), true);
        let known = |id: &u32| matches!(try_one(*id, &mut fragments), Outcome::Meter(_));
        let count = (0..100_000).filter(known).count();
        assert!(count > PLACES / 2 && count <= PLACES, "{count}");
        assert_eq!((fragments.held(), fragments.heads.len()), (WAITING, WAITING));
        assert_eq!((fragments.gone().len(), fragments.gone.capacity()), (GONE, GONE), "no more than a burst can take");
        fragments.forget_gone();
        let Outcome::Wait(Some((_, number))) = try_one(200_000, &mut fragments) else { panic!("another one makes room") };
        assert_eq!((usize::from(number), fragments.gone().len()), (BURST, 1));
    }

    #[test]
    fn what_waits_no_longer_has_the_beginning_of_its_frame() {
        let mut fragments = Fragments::new(1);
        for (id, time) in [(7, 20), (8, 1000)] {
            assert_eq!(resolve(&mut fragments, fragment(id, 8, 0, time)), None);
        }
        let mut all = Vec::new();
        fragments.release_all(0, |held, number| {
            all.push((held.time, usize::from(number)));
            true
        });
        assert_eq!((all.len(), fragments.gone().len()), (2, 2));
        for (time, number) in all {
            let frame = fragments.gone()[number - BURST].frame();
            let octets = usize::try_from(time).expect("small").min(HEAD);
            assert_eq!((frame.time, frame.bytes, frame.port, frame.wire_len), (time, &BYTES[..octets], 4, 100));
            assert_eq!(frame.link, Link::Ethernet);
        }
        fragments.forget_gone();
        assert!(fragments.gone().is_empty());
    }
}
