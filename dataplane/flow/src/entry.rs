//! A flow in the table. A packet of an ongoing IPv4 flow touches the first cache line of its entry and nothing else.

use bytemuck::Zeroable;
use sonde_packet::{Frame, Headers, Tcp, decode, proto, syn_options};

use crate::key::Key;
use crate::record::{EndReason, Initiator, NO_VLAN, NO_WSCALE, Record};

/// Set in [`Packet::flags`] beside the TCP flags: the packet is a fragment.
pub(crate) const FRAGMENT: u16 = 1 << 15;
/// Flags that need more than counting: SYN, FIN, RST, fragment.
const SPECIAL: u16 = Tcp::SYN | Tcp::FIN | Tcp::RST | FRAGMENT;

/// Flags and reserved bits of the TCP header: `tcpControlBits` (RFC 9565 section 3).
const TCP_FLAGS: u16 = 0x0fff;

/// What one packet adds to its flow.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
pub(crate) struct Packet<K> {
    pub(crate) key: K,
    pub(crate) hash: u64,
    /// When it was received.
    pub(crate) time: u64,
    /// Octets from the IP header on.
    pub(crate) octets: u32,
    /// Octets on the wire minus `octets`.
    pub(crate) overhead: i32,
    /// TCP flags and [`FRAGMENT`].
    pub(crate) flags: u16,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    /// Direction bit of the key.
    pub(crate) direction: u8,
    /// The general decoder was needed.
    pub(crate) general: u8,
    /// Place of the frame in the burst.
    pub(crate) frame: u16,
}

/// Bits of [`Hot::state`].
mod state {
    /// Direction bit of the key that is forward.
    pub(super) const FORWARD: u8 = 1;
    /// FIN seen in forward direction; the next bit is reverse.
    pub(super) const FIN: u8 = 1 << 1;
    pub(super) const FIN_BOTH: u8 = FIN | FIN << 1;
    pub(super) const RST: u8 = 1 << 3;
    /// Its record was written and no packet came since.
    pub(super) const DORMANT: u8 = 1 << 4;
    /// Initiator: two bits, as in `record::Initiator`.
    pub(super) const INITIATOR: u32 = 5;
    /// FIN from both sides, or RST: lingers for its last segments.
    pub(super) const CLOSED: u8 = 1 << 7;
}

/// What every packet changes, 48 bytes.
#[derive(Clone, Copy, Debug, Zeroable)]
#[repr(C)]
struct Hot {
    octets: [u64; 2],
    /// Time of the latest packet.
    last: u64,
    packets: [u32; 2],
    overhead: [i32; 2],
    flags: [u16; 2],
    ttl: [u8; 2],
    tos: u8,
    state: u8,
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
    vlan: [u16; 2],
    ethertype: u16,
    ingress: u16,
    syn_len: u16,
    syn_window: u16,
    syn_mss: u16,
    icmp: [u8; 2],
    fragments: u32,
    syn_wscale: u8,
    _spare: [u8; 15],
}

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

/// When flows end, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// No packet for so long: the flow ended.
    pub idle: u64,
    /// A flow that goes on is reported so often.
    pub active: u64,
    /// A closed TCP connection waits so long for its last segments.
    pub linger: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { idle: 30_000_000_000, active: 300_000_000_000, linger: 2_000_000_000 }
    }
}

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

/// What is due for an entry whose deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet: look again at this time.
    At(u64),
    /// Write its record and keep it.
    Report(EndReason),
    /// Write its record and remove it.
    End(EndReason),
    /// Remove it: it was reported, and nothing came since.
    Remove,
}

impl<K: Key> Entry<K> {
    /// Adds a packet of the ongoing flow; `false`, and nothing is added, when the packet needs [`Entry::before`].
    ///
    /// Budget: 2 ns when the line is near (bench `track/hit`). One branch that is nearly never taken.
    #[inline(always)]
    pub(crate) fn add(&mut self, packet: &Packet<K>, idle: u64) -> bool {
        let hot = &self.hot;
        let way = usize::from((packet.direction ^ hot.state) & state::FORWARD);
        let [p0, p1] = hot.packets;
        let packets = if way == 0 { p0 } else { p1 };
        // Two counters of 32 bits are kept from wrapping by writing a record long before.
        let special = u32::from(packet.flags & SPECIAL) | u32::from(hot.state & (state::DORMANT | state::CLOSED)) | packets >> 27;
        if (special != 0) | (packet.time > hot.last.wrapping_add(idle)) {
            return false;
        }
        self.count(packet, way);
        true
    }

    #[inline(always)]
    fn count(&mut self, packet: &Packet<K>, way: usize) {
        let hot = &mut self.hot;
        let way = way & 1;
        // `way` is 0 or 1: the compiler sees it, and no access is checked.
        #[expect(clippy::indexing_slicing, reason = "arrays of two, index masked to one bit")]
        {
            // Zero as long as there is no packet.
            hot.ttl[way] |= if hot.packets[way] == 0 { packet.ttl } else { 0 };
            hot.octets[way] = hot.octets[way].wrapping_add(u64::from(packet.octets));
            hot.packets[way] = hot.packets[way].wrapping_add(1);
            hot.overhead[way] = hot.overhead[way].wrapping_add(packet.overhead);
            hot.flags[way] |= packet.flags & TCP_FLAGS;
        }
        hot.last = hot.last.max(packet.time);
    }

    /// What must happen before a packet that [`Entry::add`] refused.
    pub(crate) fn before(&self, packet: &Packet<K>, idle: u64) -> Before {
        let hot = &self.hot;
        let dormant = hot.state & state::DORMANT != 0;
        if packet.time > hot.last.wrapping_add(idle) {
            return if dormant { Before::RestartSilently } else { Before::Restart(EndReason::Idle) };
        }
        let opens = packet.flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN;
        if hot.state & state::CLOSED != 0 && opens {
            return if dormant { Before::RestartSilently } else { Before::Restart(EndReason::EndOfFlow) };
        }
        let [p0, p1] = hot.packets;
        if (p0 | p1) >> 27 != 0 { Before::Report(EndReason::Active) } else { Before::Add }
    }

    /// Adds a packet that is special, or the first after a report.
    pub(crate) fn add_special(&mut self, packet: &Packet<K>, frame: &Frame<'_>) {
        let way = usize::from((packet.direction ^ self.hot.state) & state::FORWARD);
        if self.hot.state & state::DORMANT != 0 {
            self.hot.state &= !state::DORMANT;
            self.birth.first = packet.time;
        }
        self.note(packet, frame, way);
        self.count(packet, way);
    }

    /// SYN, FIN, RST, fragment: what is remembered of them.
    fn note(&mut self, packet: &Packet<K>, frame: &Frame<'_>, way: usize) {
        if packet.flags & FRAGMENT != 0 {
            self.birth.fragments = self.birth.fragments.saturating_add(1);
        }
        if packet.flags & Tcp::SYN != 0 {
            self.note_syn(packet, frame, way);
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

    fn note_syn(&mut self, packet: &Packet<K>, frame: &Frame<'_>, way: usize) {
        // The initiator sends SYN, and receives SYN with ACK.
        let answers = packet.flags & Tcp::ACK != 0;
        if self.hot.state >> state::INITIATOR & 3 == 0 {
            let initiator = if answers == (way == 1) { Initiator::Source } else { Initiator::Destination };
            self.hot.state |= (initiator as u8) << state::INITIATOR;
        }
        if answers || self.birth.syn_len != 0 {
            return;
        }
        // The fast decoder has seen an Ethernet and an IPv4 header of the smallest size, and as much of TCP.
        let offset = if packet.general == 0 { Some(34) } else { decode(frame).ok().and_then(|h| h.tcp.map(|_| h.l4_offset)) };
        if let Some(segment) = offset.and_then(|offset| frame.bytes.get(usize::from(offset)..)) {
            let options = syn_options(segment);
            self.birth.syn_len = u16::try_from(packet.octets).unwrap_or(u16::MAX);
            self.birth.syn_window = options.window;
            self.birth.syn_mss = options.mss.unwrap_or(0);
            self.birth.syn_wscale = options.window_scale.unwrap_or(NO_WSCALE);
        }
    }

    /// Makes the entry a new flow of one packet.
    pub(crate) fn begin(&mut self, packet: &Packet<K>, frame: &Frame<'_>, flow_id: u64) {
        self.key = packet.key;
        self.hot = Hot {
            octets: [u64::from(packet.octets), 0],
            last: packet.time,
            packets: [1, 0],
            overhead: [packet.overhead, 0],
            flags: [packet.flags & TCP_FLAGS, 0],
            ttl: [packet.ttl, 0],
            tos: packet.tos,
            state: packet.direction & state::FORWARD,
        };
        let about = if packet.general == 0 { About::common(frame) } else { About::general(frame) };
        // One literal, field by field: put together elsewhere and copied, its narrow stores would be waited for.
        self.birth = Birth {
            first: packet.time,
            flow_id,
            macs: about.macs,
            vlan: about.vlan,
            ethertype: about.ethertype,
            ingress: frame.port,
            syn_len: 0,
            syn_window: 0,
            syn_mss: 0,
            icmp: about.icmp,
            fragments: 0,
            syn_wscale: NO_WSCALE,
            _spare: [0; 15],
        };
        if packet.flags & SPECIAL != 0 {
            self.note(packet, frame, 0);
        }
    }

    /// Whether a TCP connection is closed and only lingers.
    pub(crate) fn is_closed(&self) -> bool {
        self.hot.state & state::CLOSED != 0
    }

    /// When the entry has to be looked at.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> u64 {
        let hot = &self.hot;
        if hot.state & state::CLOSED != 0 {
            return hot.last.saturating_add(timeouts.linger.min(timeouts.idle));
        }
        let idle = hot.last.saturating_add(timeouts.idle);
        if hot.state & state::DORMANT != 0 { idle } else { idle.min(self.birth.first.saturating_add(timeouts.active)) }
    }

    /// What is due at `now`.
    pub(crate) fn due(&self, now: u64, timeouts: &Timeouts) -> Due {
        let deadline = self.deadline(timeouts);
        if now < deadline {
            return Due::At(deadline);
        }
        let hot = &self.hot;
        if hot.state & state::DORMANT != 0 {
            Due::Remove
        } else if hot.state & state::CLOSED != 0 {
            Due::End(EndReason::EndOfFlow)
        } else if hot.last.saturating_add(timeouts.idle) <= now {
            Due::End(EndReason::Idle)
        } else {
            Due::Report(EndReason::Active)
        }
    }

    /// Whether there is something to report.
    pub(crate) fn has_news(&self) -> bool {
        self.hot.state & state::DORMANT == 0
    }

    /// The record of the flow as it is.
    #[inline]
    pub(crate) fn record(&self, reason: EndReason, worker: u8) -> Record {
        let (hot, birth) = (&self.hot, &self.birth);
        let [octets, reverse_octets] = hot.octets;
        let [p0, p1] = hot.packets;
        let [o0, o1] = hot.overhead;
        let wire = |octets: u64, overhead: i32| octets.wrapping_add_signed(i64::from(overhead));
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = birth.macs;
        let mut record = Record {
            flow_id: birth.flow_id,
            end_reason: reason,
            initiator: match hot.state >> state::INITIATOR & 3 {
                1 => Initiator::Source,
                2 => Initiator::Destination,
                _ => Initiator::FirstPacket,
            },
            worker,
            ingress: birth.ingress,
            start: birth.first,
            end: hot.last,
            octets: hot.octets,
            packets: [u64::from(p0), u64::from(p1)],
            wire: [wire(octets, o0), wire(reverse_octets, o1)],
            tcp_flags: hot.flags,
            ttl: hot.ttl,
            tos: hot.tos,
            vlan: birth.vlan,
            smac: [s0, s1, s2, s3, s4, s5],
            dmac: [d0, d1, d2, d3, d4, d5],
            ethertype: birth.ethertype,
            fragments: birth.fragments,
            icmp: birth.icmp,
            syn_len: birth.syn_len,
            syn_window: birth.syn_window,
            syn_mss: birth.syn_mss,
            syn_wscale: birth.syn_wscale,
            ..Record::default()
        };
        self.key.describe(hot.state & state::FORWARD, &mut record);
        record
    }

    /// After a report: counters start again, the flow goes on.
    pub(crate) fn rest(&mut self) {
        let hot = &mut self.hot;
        hot.octets = [0; 2];
        hot.packets = [0; 2];
        hot.overhead = [0; 2];
        hot.flags = [0; 2];
        hot.ttl = [0; 2];
        hot.state |= state::DORMANT;
        self.birth.fragments = 0;
    }
}

/// What only the first frame of a flow is asked for.
struct About {
    macs: [u8; 12],
    vlan: [u16; 2],
    ethertype: u16,
    icmp: [u8; 2],
}

impl About {
    /// Of a frame the fast decoder knows: untagged Ethernet with IPv4, TCP or UDP.
    #[inline(always)]
    fn common(frame: &Frame<'_>) -> Self {
        let macs = frame.bytes.first_chunk().copied().unwrap_or_default();
        Self { macs, vlan: [NO_VLAN, NO_VLAN], ethertype: 0x0800, icmp: [0; 2] }
    }

    /// Of any other frame.
    #[inline(never)]
    fn general(frame: &Frame<'_>) -> Self {
        // It was decoded before, in this burst; only good frames come here.
        let headers: Headers = decode(frame).unwrap_or_default();
        let ([d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5]) = (headers.dmac, headers.smac);
        let [outer, inner] = headers.vlan;
        Self {
            macs: [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5],
            vlan: match headers.tags {
                0 => [NO_VLAN, NO_VLAN],
                1 => [outer, NO_VLAN],
                _ => [outer, inner],
            },
            ethertype: headers.ethertype,
            icmp: if matches!(headers.protocol, proto::ICMP | proto::ICMPV6) { headers.icmp } else { [0; 2] },
        }
    }
}
