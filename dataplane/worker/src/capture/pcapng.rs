//! pcapng: blocks of a type, a length, a body, and the length again (draft-ietf-opsawg-pcapng).

use super::batch::Batch;
use super::fault::Damage;
use super::limits::WIRE_MAX;
use super::linktype::Frames;
use super::octets::{Order, prefetch_ahead, words};
use super::passed::Passed;
use sonde_packet::Frame;

/// The type of a section header block: the same in both byte orders.
pub(super) const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const MAGIC_LITTLE: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
const MAGIC_BIG: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

const INTERFACE: u32 = 1;
const PACKET_OBSOLETE: u32 = 2;
const PACKET_SIMPLE: u32 = 3;
const PACKET: u32 = 6;

const OPTION_END: u16 = 0;
/// Of a packet: its flags word.
const OPTION_FLAGS: u16 = 2;
const OPTION_TSRESOL: u16 = 9;
const OPTION_FCSLEN: u16 = 13;
const OPTION_TSOFFSET: u16 = 14;

/// What a section says of one of its interfaces.
#[derive(Clone, Copy, Debug)]
struct Interface {
    frames: Frames,
    snap: u32,
    unit: Unit,
    offset_ns: i64,
}

/// How ticks become nanoseconds.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Times(u64),
    Over(u64),
    Binary(u32),
}

impl Unit {
    /// From `if_tsresol`: a power of ten, or of two when the high bit is set.
    fn from_resolution(resolution: u8) -> Self {
        let power = u32::from(resolution & 0x7f);
        if resolution & 0x80 != 0 {
            return Self::Binary(power);
        }
        match 9u32.checked_sub(power) {
            Some(less) => Self::Times(10u64.saturating_pow(less)),
            // Where the divisor does not fit into 64 bits, neither does one nanosecond: division by 0 below gives 0.
            None => Self::Over(10u64.checked_pow(power.saturating_sub(9)).unwrap_or(0)),
        }
    }
}

impl Interface {
    #[inline(always)]
    fn time(&self, ticks: u64) -> u64 {
        let ns = match self.unit {
            Unit::Times(factor) => ticks.saturating_mul(factor),
            Unit::Over(divisor) => ticks.checked_div(divisor).unwrap_or(0),
            // 64 + 30 bits fit into 128.
            Unit::Binary(power) => {
                let wide = u128::from(ticks).wrapping_mul(1_000_000_000).checked_shr(power).unwrap_or(0);
                u64::try_from(wide).unwrap_or(u64::MAX)
            }
        };
        ns.saturating_add_signed(self.offset_ns)
    }
}

/// How the packets of a pcapng file are read, through all its sections.
#[derive(Debug)]
pub(super) struct Reader {
    order: Order,
    interfaces: Vec<Interface>,
    /// Time of the packet before: a simple packet block has none of its own.
    last: u64,
}

/// One block: its type, its body without the lengths, and what follows it.
struct Block<'a> {
    kind: u32,
    body: &'a [u8],
    after: &'a [u8],
}

impl Reader {
    pub(super) fn new() -> Self {
        // The byte order is read from the section header block, which `block` insists on seeing before it is used.
        Self { order: Order::Little, interfaces: Vec::new(), last: 0 }
    }

    /// Reads blocks from `rest` on, and their packets into the batch.
    ///
    /// Budget: 12 ns a packet of 90 octets, as in `pcap`.
    pub(super) fn fill<'a>(&mut self, rest: &mut &'a [u8], batch: &mut Batch<'a>, passed: &mut Passed) -> Result<(), Damage> {
        while !rest.is_empty() {
            let block = self.block(rest)?;
            prefetch_ahead(rest, block.body.len());
            let packet = match block.kind {
                PACKET => Some(self.enhanced(block.body)?),
                PACKET_SIMPLE => Some(self.simple(block.body)?),
                PACKET_OBSOLETE => Some(self.obsolete(block.body)?),
                INTERFACE => {
                    self.describe(block.body)?;
                    None
                }
                // Section headers were read by `block`; everything else (names, statistics, secrets, private blocks) holds no packet.
                _ => None,
            };
            match packet {
                Some(Packet::Read(frame)) => {
                    if !batch.push(frame) {
                        return Ok(());
                    }
                    self.last = frame.time;
                }
                Some(Packet::Unread(number)) => passed.add(number),
                None => {}
            }
            *rest = block.after;
        }
        Ok(())
    }

    /// Cuts the next block off; a section header sets the byte order and forgets the interfaces of the section before.
    #[inline(always)]
    fn block<'a>(&mut self, rest: &'a [u8]) -> Result<Block<'a>, Damage> {
        let (head, body) = rest.split_first_chunk::<8>().ok_or(Damage::BlockCut)?;
        let [kind, length] = words(head);
        if kind == SECTION {
            self.section(body)?;
        }
        let total = self.order.u32(length);
        // Twelve octets are type and the two lengths: what is left of them is the body.
        let inner = total.checked_sub(12).filter(|_| total.is_multiple_of(4)).ok_or(Damage::BlockLength)?;
        let (body, tail) = body.split_at_checked(inner as usize).ok_or(Damage::BlockCut)?;
        let (trailer, after) = tail.split_first_chunk::<4>().ok_or(Damage::BlockCut)?;
        if *trailer != length {
            return Err(Damage::BlockLengthsDiffer);
        }
        Ok(Block { kind: self.order.u32(kind), body, after })
    }

    /// A section header: magic, version, length of the section (which may be unknown and is not needed).
    #[cold]
    fn section(&mut self, body: &[u8]) -> Result<(), Damage> {
        let (head, _) = body.split_first_chunk::<16>().ok_or(Damage::HeaderCut)?;
        let [magic, [major0, major1, ..], _, _] = words(head);
        self.order = match magic {
            MAGIC_LITTLE => Order::Little,
            MAGIC_BIG => Order::Big,
            _ => return Err(Damage::ByteOrder),
        };
        if self.order.u16([major0, major1]) != 1 {
            return Err(Damage::Version);
        }
        self.interfaces.clear();
        Ok(())
    }

    /// An interface description: link type, snap length, and the options that say how time is counted.
    #[cold]
    fn describe(&mut self, body: &[u8]) -> Result<(), Damage> {
        let (head, mut options) = body.split_first_chunk::<8>().ok_or(Damage::BlockLength)?;
        let [[link0, link1, ..], snap] = words(head);
        let frames = Frames::of(self.order.u16([link0, link1]), 0);
        let mut interface = Interface { frames, snap: self.order.u32(snap), unit: Unit::Times(1000), offset_ns: 0 };
        // Options that do not fit end the list: they are comments of a kind, and the packets can be read without them.
        while let Some((code, value)) = self.option(&mut options) {
            match (code, value) {
                (OPTION_TSRESOL, [resolution, ..]) => interface.unit = Unit::from_resolution(*resolution),
                (OPTION_TSOFFSET, value) => {
                    let seconds = value.first_chunk::<8>().map_or(0, |bytes| self.order.i64(*bytes));
                    interface.offset_ns = seconds.saturating_mul(1_000_000_000);
                }
                (OPTION_FCSLEN, [length, ..]) => interface.frames = frames.with_fcs(fcs_octets(*length)),
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// Cuts the next option off; `None` at the end of the list.
    fn option<'o>(&self, options: &mut &'o [u8]) -> Option<(u16, &'o [u8])> {
        let ([code0, code1, len0, len1], rest) = options.split_first_chunk::<4>()?;
        let length = usize::from(self.order.u16([*len0, *len1]));
        let (value, after) = rest.split_at_checked(length.next_multiple_of(4))?;
        *options = after;
        Some((self.order.u16([*code0, *code1]), value)).filter(|(code, _)| *code != OPTION_END)
    }

    #[inline(always)]
    fn enhanced<'a>(&self, body: &'a [u8]) -> Result<Packet<'a>, Damage> {
        let (head, data) = body.split_first_chunk::<20>().ok_or(Damage::BlockLength)?;
        let [number, high, low, captured, original] = words(head).map(|word| self.order.u32(word));
        self.packet(number, high, low, captured, original, data)
    }

    /// The packet block of early pcapng: a 16-bit interface number and a drop count where the other has a 32-bit number.
    #[cold]
    fn obsolete<'a>(&self, body: &'a [u8]) -> Result<Packet<'a>, Damage> {
        let (head, data) = body.split_first_chunk::<20>().ok_or(Damage::BlockLength)?;
        let [[number0, number1, ..], high, low, captured, original] = words(head);
        let number = u32::from(self.order.u16([number0, number1]));
        let [high, low, captured, original] = [high, low, captured, original].map(|word| self.order.u32(word));
        self.packet(number, high, low, captured, original, data)
    }

    #[inline(always)]
    fn packet<'a>(&self, number: u32, high: u32, low: u32, captured: u32, original: u32, data: &'a [u8]) -> Result<Packet<'a>, Damage> {
        let interface = self.interfaces.get(number as usize).ok_or(Damage::NoInterface)?;
        let (bytes, behind) = data.split_at_checked(captured as usize).ok_or(Damage::PacketLength)?;
        let mut frames = interface.frames;
        // Up to three octets of padding. Most packets have no options.
        if behind.len() > 4 {
            frames = self.flagged(frames, captured, behind);
        }
        let time = interface.time(u64::from(high) << 32 | u64::from(low));
        Ok(Packet::of(frames, bytes, original, port(number), time))
    }

    /// A packet's flags word may tell the octets of its FCS (bits 5 to 8; zero says nothing).
    #[cold]
    fn flagged(&self, frames: Frames, captured: u32, behind: &[u8]) -> Frames {
        let padding = captured.wrapping_neg() & 3;
        let mut options = behind.get(padding as usize..).unwrap_or_default();
        while let Some((code, value)) = self.option(&mut options) {
            if code == OPTION_FLAGS
                && let Some(word) = value.first_chunk::<4>()
            {
                let [octets, ..] = (self.order.u32(*word) >> 5 & 0x0f).to_le_bytes();
                return if octets == 0 { frames } else { frames.with_fcs(octets) };
            }
        }
        frames
    }

    /// A simple packet block: of the first interface, cut at its snap length, without a time. It gets that of the packet before.
    #[cold]
    fn simple<'a>(&self, body: &'a [u8]) -> Result<Packet<'a>, Damage> {
        let (head, data) = body.split_first_chunk::<4>().ok_or(Damage::BlockLength)?;
        let interface = self.interfaces.first().ok_or(Damage::NoInterface)?;
        let original = self.order.u32(*head);
        let snap = if interface.snap == 0 { u32::MAX } else { interface.snap };
        let bytes = data.get(..original.min(snap) as usize).ok_or(Damage::PacketLength)?;
        Ok(Packet::of(interface.frames, bytes, original, port(0), self.last))
    }
}

/// What a packet block gives.
enum Packet<'a> {
    Read(Frame<'a>),
    /// A packet of a link type that is not read.
    Unread(u16),
}

impl<'a> Packet<'a> {
    #[inline(always)]
    fn of(frames: Frames, bytes: &'a [u8], original: u32, port: u16, time: u64) -> Self {
        match frames.unread() {
            Some(number) => Self::Unread(number),
            None => {
                let (link, bytes, wire_len) = frames.cut(bytes, original.min(WIRE_MAX));
                Self::Read(Frame { bytes, wire_len, link, port, time })
            }
        }
    }
}

/// `if_fcslen` counts bits. The format's description has octets in its example, and so have a few writers: no FCS has eight bits or less.
fn fcs_octets(length: u8) -> u8 {
    match length {
        0..=8 => length,
        bits => bits / 8,
    }
}

/// Interfaces are numbered from 0 in a section, ports from 1; what does not fit is "unknown".
#[inline(always)]
fn port(number: u32) -> u16 {
    u16::try_from(number.wrapping_add(1)).unwrap_or(0)
}
