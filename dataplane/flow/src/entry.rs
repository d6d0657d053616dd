//! A flow in the table. A packet of an ongoing IPv4 flow touches the first cache line of its entry and nothing else.

use bytemuck::Zeroable;
use sonde_packet::{SynOptions, Tcp};
use sonde_record::fact::LoneSyn;
use sonde_record::{EndReason, Head, Initiator, Kind, NO_WSCALE, lone_syn};

use crate::about::{About, Birthplace};
use crate::counts;
use crate::followed::Followed;
use crate::handle::{Extras, Measured};
use crate::key::Key;
use crate::measure::tcp::Opening;
use crate::packet::{BIG, COMMON, FRAGMENT, PATTERN, Packet, TCP_FLAGS};
use crate::tick::{tick, tick_after};
use crate::timeouts::{DUE, Near, Timeouts};

mod times;

/// Flags that need more than counting: SYN, FIN, RST, fragment, and what may fill the sum of octets.
const SPECIAL: u16 = Tcp::SYN | Tcp::FIN | Tcp::RST | FRAGMENT | BIG;

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Number of the worker.
    pub(crate) worker: u8,
    /// What is added to times for them to be those of the wall clock, in nanoseconds. The reader of a record does it.
    pub(crate) offset: i64,
}

/// Bits of [`Hot::state`]; above them are the TCP flags.
mod state {
    use sonde_record::Initiator;

    /// Direction bit of the key that is forward.
    pub(super) const FORWARD: u32 = 1;
    /// FIN seen in forward direction; the next bit is reverse.
    pub(super) const FIN: u32 = 1 << 1;
    pub(super) const FIN_BOTH: u32 = FIN | FIN << 1;
    pub(super) const RST: u32 = 1 << 3;
    /// Its record was written and no packet came since.
    pub(super) const DORMANT: u32 = 1 << 4;
    /// Initiator: two bits, as in [`Initiator`].
    pub(super) const INITIATOR: u32 = 5;
    /// FIN from both sides, or RST: lingers for its last segments.
    pub(super) const CLOSED: u32 = 1 << 7;

    /// Everything but the TCP flags.
    #[inline(always)]
    pub(super) fn low(state: u32) -> u8 {
        let [low, ..] = state.to_le_bytes();
        low
    }

    /// Who opened the connection.
    #[inline(always)]
    pub(super) fn opener(state: u32) -> Initiator {
        match low(state) >> INITIATOR & 3 {
            1 => Initiator::Source,
            2 => Initiator::Destination,
            _ => Initiator::FirstPacket,
        }
    }

    /// The TCP flags of both directions.
    #[inline(always)]
    pub(super) fn tcp_flags(state: u32) -> [u16; 2] {
        let [_, a, b, c] = state.to_le_bytes();
        [u16::from_le_bytes([a, b]) & super::TCP_FLAGS, u16::from_le_bytes([b, c]) >> 4]
    }

    /// Where the flags of a direction go.
    #[inline(always)]
    pub(super) fn flags(flags: u16, way: usize) -> u32 {
        u32::from(flags & super::TCP_FLAGS) << (8 + 12 * (way & 1))
    }
}

/// What every packet changes, 48 bytes.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
struct Hot {
    /// Octets in the low 48 bits, then least and greatest TTL. A record is written before 2^48 octets: see [`OCTETS_DUE`].
    octets_ttl: [u64; 2],
    /// Time of the latest packet in the upper 48 bits, modulo 2^48 ns (three days): [`Entry::last`]; below it the tick of the coarse
    /// clock in which a packet may be too late for the record, because of the active timeout.
    last_due: u64,
    /// [`counts`]: packets, and how many octets their frames have more than their IP packets.
    counts: [u64; 2],
    /// [`state`], and from bit 8 on the TCP flags of both directions, twelve bits each.
    state: u32,
    /// Place of what is known of the flow's performance, and in its high bits of which kind it is (see `handle`); 0: none.
    measured: u32,
}

impl Hot {
    /// Nanoseconds from the latest packet to this time; below 0 when it is earlier.
    #[inline(always)]
    fn since(&self, time: u64) -> i64 {
        (time << 16).wrapping_sub(self.last_due & !DUE).cast_signed() >> 16
    }

    /// Whether a packet of this time may be too late for the record.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are the tick")]
    fn is_due(&self, time: u64) -> bool {
        tick(time).wrapping_sub(self.last_due as u16).cast_signed() >= 0
    }
}

/// What the first packets of a flow say, 64 bytes, in a line of its own.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
struct Birth {
    /// Time of the first packet of the next record.
    first: u64,
    flow_id: u64,
    /// Destination and source, as in the frame.
    macs: [u8; 12],
    vlan_tci: [u16; 2],
    ethertype: u16,
    ingress: u16,
    syn_len: u16,
    syn_window: u16,
    syn_mss: u16,
    /// Type and code. For a lone SYN: its option flags.
    icmp: [u8; 2],
    /// Packets that are fragments. For a lone SYN: its sequence number.
    fragments: u32,
    /// Layers of the flow, and the pattern of its packets.
    extras: Extras,
    /// IPv6 flow label.
    flow_label: [u8; 3],
    ip_flags: u8,
    syn_wscale: u8,
    /// TTL of the first packet of each direction.
    ttl: [u8; 2],
    /// Type of service of the first packet.
    tos: u8,
    _spare: u32,
}

/// Octets in [`Hot::octets_ttl`].
const OCTETS: u64 = (1 << 48) - 1;
/// A packet that is [`BIG`] finds this bit of the octets set: a record is due. All others of a record ([`counts::DUE`]) have 2^44 together,
/// so the sum stays below 2^48.
const OCTETS_DUE: u64 = 1 << 47;

/// One flow.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Entry<K> {
    pub(crate) key: K,
    hot: Hot,
    birth: Birth,
}

// Two cache lines for IPv4, three for the rest. Growing an entry is a design decision.
const _: () = assert!(size_of::<Entry<crate::key::Key4>>() == 128);
const _: () = assert!(size_of::<Entry<crate::key::KeyWide>>() == 192);

/// What must happen to an entry before a packet can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Add,
    /// Write its record and go on with the same flow.
    Report(EndReason),
    /// Write its record and begin a new flow with this packet.
    Restart(EndReason),
    /// It was reported and nothing came since: begin anew without a record.
    RestartSilently,
}

impl<K: Key> Entry<K> {
    /// Adds a packet of the ongoing flow; `false`, and nothing is added, when the packet needs [`Entry::before`].
    ///
    /// Budget: 2 ns when the line is near (bench `track/hit/1000`). One branch that is nearly never taken.
    #[inline(always)]
    pub(crate) fn add(&mut self, packet: &Packet<K>, Near(near): Near) -> bool {
        let hot = &self.hot;
        let way = usize::from(self.way(packet.direction));
        let [c0, c1] = hot.counts;
        let counts = if way == 0 { c0 } else { c1 };
        // No counter wraps: a record is written before.
        let special = u32::from(packet.flags & SPECIAL) | hot.state & (state::DORMANT | state::CLOSED);
        let (time, word) = (packet.time << 16, hot.last_due);
        // One comparison for a packet that is too late and one that is early: see `Near`.
        let far = time.wrapping_sub(word).wrapping_add(DUE + 1) > near;
        if ((u64::from(special) | counts & counts::DUE) != 0) | far | hot.is_due(packet.time) {
            return false;
        }
        self.count(packet, way);
        self.hot.last_due = time | word & DUE;
        true
    }

    #[inline(always)]
    fn count(&mut self, packet: &Packet<K>, way: usize) {
        let way = way & 1;
        // `way` is 0 or 1: the compiler sees it, and no access is checked.
        #[expect(clippy::indexing_slicing, reason = "arrays of two, index masked to one bit")]
        {
            // Most flows have one TTL a direction; the first packet of a direction finds 0.
            if self.hot.octets_ttl[way] >> 48 != u64::from(packet.ttl) * 0x101 {
                self.note_ttl(packet.ttl, way);
            }
            let hot = &mut self.hot;
            let word = hot.octets_ttl[way];
            hot.octets_ttl[way] = word.wrapping_add(u64::from(packet.octets)) & OCTETS | word & !OCTETS;
            hot.counts[way] = hot.counts[way].wrapping_add(counts::one(packet.overhead));
            hot.state |= state::flags(packet.flags, way);
        }
    }

    /// A TTL that is not that of all packets of its direction so far; or the first one.
    #[cold]
    fn note_ttl(&mut self, ttl: u8, way: usize) {
        let way = way & 1;
        #[expect(clippy::indexing_slicing, reason = "arrays of two, index masked to one bit")]
        let (word, first) = (&mut self.hot.octets_ttl[way], counts::packets(self.hot.counts[way]) == 0);
        let [.., least, greatest] = word.to_le_bytes();
        let (least, greatest) = if first { (ttl, ttl) } else { (least.min(ttl), greatest.max(ttl)) };
        *word = *word & OCTETS | u64::from(least) << 48 | u64::from(greatest) << 56;
        if let (true, Some(place)) = (first, self.birth.ttl.get_mut(way)) {
            *place = ttl;
        }
    }

    /// What must happen before a packet that [`Entry::add`] refused.
    ///
    /// `opening`: what a SYN opens.
    pub(crate) fn before(&self, packet: &Packet<K>, timeouts: &Timeouts, opening: Opening) -> Before {
        let hot = &self.hot;
        let dormant = hot.state & state::DORMANT != 0;
        if hot.since(packet.time).max(0).cast_unsigned() > timeouts.idle {
            return if dormant { Before::RestartSilently } else { Before::Restart(EndReason::Idle) };
        }
        let opens = packet.flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN;
        let another = match opening {
            Opening::Another => true,
            Opening::This => false,
            Opening::Unknown => hot.state & state::CLOSED != 0,
        };
        if opens && another {
            return if dormant { Before::RestartSilently } else { Before::Restart(EndReason::EndOfFlow) };
        }
        let late = hot.is_due(packet.time) && packet.time.saturating_sub(self.birth.first) > timeouts.active;
        let ([c0, c1], [o0, o1]) = (hot.counts, hot.octets_ttl);
        let due = (c0 | c1) & counts::DUE | (o0 | o1) & OCTETS_DUE;
        if !dormant && (late || due != 0) { Before::Report(EndReason::Active) } else { Before::Add }
    }

    /// Adds a packet that is special, or the first after a report.
    pub(crate) fn add_special(&mut self, packet: &Packet<K>, options: Option<&SynOptions>, active: u64) {
        let way = usize::from(self.way(packet.direction));
        if self.hot.state & state::DORMANT != 0 {
            self.hot.state &= !state::DORMANT;
            self.wake(packet.time, active);
        }
        self.start_early(packet.time, active);
        self.note(packet, options, way);
        self.count(packet, way);
        if self.hot.since(packet.time) > 0 {
            self.hot.last_due = packet.time << 16 | self.hot.last_due & DUE;
        }
        if self.hot.is_due(packet.time) {
            self.renew_due(active);
        }
    }

    /// SYN, FIN, RST, fragment: what is remembered of them.
    fn note(&mut self, packet: &Packet<K>, options: Option<&SynOptions>, way: usize) {
        if packet.flags & FRAGMENT != 0 {
            self.birth.fragments = self.birth.fragments.saturating_add(1);
        }
        if packet.flags & Tcp::SYN != 0 {
            self.note_syn(packet, options, way);
        }
        if packet.flags & Tcp::FIN != 0 {
            self.hot.state |= state::FIN << way;
        }
        if packet.flags & Tcp::RST != 0 {
            self.hot.state |= state::RST;
        }
        if self.hot.state & state::FIN_BOTH == state::FIN_BOTH || self.hot.state & state::RST != 0 {
            self.hot.state |= state::CLOSED;
        }
    }

    fn note_syn(&mut self, packet: &Packet<K>, options: Option<&SynOptions>, way: usize) {
        if self.hot.state >> state::INITIATOR & 3 == 0 {
            self.hot.state |= initiator(packet.flags, way);
        }
        if packet.flags & Tcp::ACK == 0 && self.birth.syn_len == 0 {
            let syn = Syn::of(packet, options);
            self.birth.syn_len = syn.octets;
            self.birth.syn_window = syn.window;
            self.birth.syn_mss = syn.mss;
            self.birth.syn_wscale = syn.wscale;
        }
    }

    /// Makes the entry a new flow of one packet. Everything is known before the first store: a flood does little else than this,
    /// and narrow stores that are read again at once are waited for.
    pub(crate) fn begin(&mut self, packet: &Packet<K>, flow_id: u64, place: &mut Birthplace<'_, '_>) {
        let mut state = u32::from(packet.direction) & state::FORWARD | state::flags(packet.flags, 0);
        let mut syn = Syn::of(packet, None);
        if packet.flags & SPECIAL != 0 {
            if packet.flags & Tcp::SYN != 0 {
                state |= initiator(packet.flags, 0);
                if packet.flags & Tcp::ACK == 0 {
                    syn = Syn::of(packet, place.options);
                }
            }
            state |= if packet.flags & Tcp::FIN != 0 { state::FIN } else { 0 };
            state |= if packet.flags & Tcp::RST != 0 { state::RST | state::CLOSED } else { 0 };
        }
        let about = if packet.origin == COMMON { About::common(place.frame) } else { About::general(packet.origin, packet.part, place) };
        self.key = packet.key;
        let ttl = u64::from(packet.ttl);
        self.hot = Hot {
            octets_ttl: [u64::from(packet.octets) | ttl << 48 | ttl << 56, 0],
            last_due: packet.time << 16 | u64::from(tick_after(packet.time.saturating_add(place.active), packet.time)),
            counts: [counts::NONE.wrapping_add(counts::one(packet.overhead)), counts::NONE],
            state,
            measured: 0,
        };
        self.birth = Birth {
            first: packet.time,
            flow_id,
            macs: about.macs,
            vlan_tci: about.vlan_tci,
            ethertype: about.ethertype,
            ingress: place.frame.port,
            syn_len: syn.octets,
            syn_window: syn.window,
            syn_mss: syn.mss,
            icmp: about.icmp,
            fragments: u32::from(packet.flags & FRAGMENT != 0),
            extras: about.extras,
            flow_label: about.flow_label,
            ip_flags: about.ip_flags,
            syn_wscale: syn.wscale,
            ttl: [packet.ttl, 0],
            tos: packet.tos,
            _spare: 0,
        };
    }

    /// Whether more is done with a packet than counting it.
    #[inline(always)]
    pub(crate) fn is_followed(&self, packet: &Packet<K>) -> bool {
        self.hot.measured | u32::from(packet.flags & PATTERN) != 0
    }

    /// Whether a TCP connection is closed and only lingers.
    pub(crate) fn is_closed(&self) -> bool {
        self.hot.state & state::CLOSED != 0
    }

    /// The flow's id.
    pub(crate) fn flow_id(&self) -> u64 {
        self.birth.flow_id
    }

    /// Whether the flow began before the one with this id.
    #[inline(always)]
    pub(crate) fn is_older_than(&self, flow_id: u64) -> bool {
        self.birth.flow_id < flow_id
    }

    /// Whether there is something to report.
    pub(crate) fn has_news(&self) -> bool {
        self.hot.state & state::DORMANT == 0
    }

    /// The head of the flow's record as it is.
    #[inline(always)]
    pub(crate) fn head(&self, reason: EndReason, origin: Origin) -> Head {
        let (hot, birth) = (&self.hot, &self.birth);
        let ends = self.key.ends(state::low(hot.state) & state::low(state::FORWARD));
        let ([word0, word1], [counts0, counts1]) = (hot.octets_ttl, hot.counts);
        let ([_, _, _, _, _, _, min0, max0], [_, _, _, _, _, _, min1, max1]) = (word0.to_le_bytes(), word1.to_le_bytes());
        let syn = self.measured() == Measured::SYN;
        let (octets0, octets1) = (word0 & OCTETS, word1 & OCTETS);
        let [l0, l1, l2] = birth.flow_label;
        let [n0, n1, n2, n3, n4, n5, m0, m1, m2, m3, m4, m5] = birth.macs;
        Head {
            flow_id: birth.flow_id,
            kind: ends.kind,
            end_reason: reason,
            view: ends.view,
            initiator: state::opener(hot.state),
            worker: origin.worker,
            ingress: birth.ingress,
            start: birth.first,
            end: self.last(),
            src: ends.src,
            dst: ends.dst,
            sport: ends.sport,
            dport: ends.dport,
            proto: ends.protocol,
            octets: [octets0, octets1],
            packets: [counts::packets(counts0), counts::packets(counts1)],
            wire: [counts::wire(counts0, octets0), counts::wire(counts1, octets1)],
            tcp_flags: state::tcp_flags(hot.state),
            ttl: birth.ttl,
            ttl_min: [min0, min1],
            ttl_max: [max0, max1],
            ip_flags: birth.ip_flags,
            flow_label: u32::from_le_bytes([l0, l1, l2, 0]),
            tos: birth.tos,
            vlan_tci: birth.vlan_tci,
            smac: [m0, m1, m2, m3, m4, m5],
            dmac: [n0, n1, n2, n3, n4, n5],
            ethertype: birth.ethertype,
            fragments: if syn { 0 } else { birth.fragments },
            icmp: if syn { [0; 2] } else { birth.icmp },
            syn_len: birth.syn_len,
            syn_window: birth.syn_window,
            syn_mss: birth.syn_mss,
            syn_wscale: birth.syn_wscale,
            lone_syn: if syn { lone_syn(birth.fragments, u16::from_le_bytes(birth.icmp)) } else { 0 },
            offset: origin.offset,
        }
    }

    /// After a report: counters start again, the flow goes on.
    pub(crate) fn rest(&mut self) {
        // The latest packet's time is kept modulo three days, relative to the first one's.
        self.birth.first = self.last();
        let hot = &mut self.hot;
        hot.octets_ttl = [0; 2];
        hot.counts = [counts::NONE; 2];
        hot.state = hot.state & 0xff | state::DORMANT;
        self.birth.ttl = [0; 2];
        self.birth.fragments = 0;
    }
}

impl<K: Key> Followed for Entry<K> {
    #[inline(always)]
    fn way(&self, direction: u8) -> u8 {
        (direction ^ state::low(self.hot.state)) & state::low(state::FORWARD)
    }

    #[inline(always)]
    fn protocol(&self) -> (Kind, u8) {
        let ends = self.key.ends(0);
        (ends.kind, ends.protocol)
    }

    #[inline(always)]
    fn measured(&self) -> Measured {
        Measured(self.hot.measured)
    }

    #[inline(always)]
    fn set_measured(&mut self, Measured(place): Measured) {
        self.hot.measured = place;
    }

    #[inline(always)]
    fn extras(&self) -> Extras {
        self.birth.extras
    }

    #[inline(always)]
    fn set_extras(&mut self, extras: Extras) {
        self.birth.extras = extras;
    }

    // A SYN uses neither the ICMP nor the fragment field, so both are reused.
    fn keep_syn(&mut self, isn: u32, notes: u16) {
        self.birth.fragments = isn;
        self.birth.icmp = notes.to_le_bytes();
        self.set_measured(Measured::SYN);
    }

    fn lone_syn(&self) -> Option<LoneSyn> {
        let birth = &self.birth;
        let [ttl, _] = birth.ttl;
        (self.measured() == Measured::SYN).then(|| LoneSyn {
            time: birth.first,
            isn: birth.fragments,
            notes: u16::from_le_bytes(birth.icmp),
            window: birth.syn_window,
            mss: birth.syn_mss,
            wscale: birth.syn_wscale,
            octets: birth.syn_len,
            ttl,
        })
    }

    fn take_syn(&mut self) -> Option<LoneSyn> {
        let syn = self.lone_syn()?;
        self.birth.fragments = 0;
        self.birth.icmp = [0; 2];
        self.set_measured(Measured(0));
        Some(syn)
    }

    fn ttls(&self) -> [[u8; 2]; 2] {
        self.hot.octets_ttl.map(|word| {
            let [.., least, greatest] = word.to_le_bytes();
            [least, greatest]
        })
    }
}

/// The bits of [`Hot::state`] that say who opened a connection, from a packet with SYN: its sender, but of a SYN with ACK the
/// receiver.
fn initiator(flags: u16, way: usize) -> u32 {
    let answers = flags & Tcp::ACK != 0;
    let initiator = if answers == (way == 1) { Initiator::Source } else { Initiator::Destination };
    (initiator as u32) << state::INITIATOR
}

/// What the first SYN says, as the entry keeps it.
struct Syn {
    /// Length of its IP packet; 0 when there was none.
    octets: u16,
    window: u16,
    mss: u16,
    wscale: u8,
}

impl Syn {
    #[inline]
    fn of<K>(packet: &Packet<K>, options: Option<&SynOptions>) -> Self {
        options.map_or(Self { octets: 0, window: 0, mss: 0, wscale: NO_WSCALE }, |options| Self {
            octets: u16::try_from(packet.octets).unwrap_or(u16::MAX),
            window: options.window,
            mss: options.mss.unwrap_or(0),
            wscale: options.window_scale.unwrap_or(NO_WSCALE),
        })
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
