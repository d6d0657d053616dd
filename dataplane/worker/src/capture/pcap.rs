//! pcap: a 24-octet header, then records of a 16-octet header and the captured octets (draft-ietf-opsawg-pcap).

use super::batch::Batch;
use super::fault::Damage;
use super::limits::WIRE_MAX;
use super::linktype::Frames;
use super::octets::{Order, prefetch_ahead, words};
use super::passed::Passed;
use sonde_packet::Frame;

/// What each magic number says: byte order, nanoseconds a tick, and octets of a record's header beyond the usual 16
/// (Kuznetzov's patched libpcap adds interface index, protocol and packet type).
const MAGICS: [([u8; 4], Order, u64, usize); 6] = [
    ([0xd4, 0xc3, 0xb2, 0xa1], Order::Little, 1000, 0),
    ([0xa1, 0xb2, 0xc3, 0xd4], Order::Big, 1000, 0),
    ([0x4d, 0x3c, 0xb2, 0xa1], Order::Little, 1, 0),
    ([0xa1, 0xb2, 0x3c, 0x4d], Order::Big, 1, 0),
    ([0x34, 0xcd, 0xb2, 0xa1], Order::Little, 1000, 8),
    ([0xa1, 0xb2, 0xcd, 0x34], Order::Big, 1000, 8),
];

/// Whether a file that begins so is a pcap.
pub(super) fn is_magic(bytes: [u8; 4]) -> bool {
    MAGICS.iter().any(|(magic, ..)| *magic == bytes)
}

/// How the records of a pcap file are read.
#[derive(Debug)]
pub(super) struct Reader {
    order: Order,
    tick_ns: u64,
    extra: usize,
    frames: Frames,
}

/// Octets of the file's header.
pub(super) const HEADER: usize = 24;

impl Reader {
    /// Reads the file's header.
    pub(super) fn open(bytes: &[u8]) -> Result<Self, Damage> {
        let head = bytes.first_chunk::<HEADER>().ok_or(Damage::HeaderCut)?;
        let [magic, version, _, _, _, network] = words(head);
        let (_, order, tick_ns, extra) = *MAGICS.iter().find(|(m, ..)| *m == magic).ok_or(Damage::NotACapture)?;
        let [major0, major1, ..] = version;
        if order.u16([major0, major1]) != 2 {
            return Err(Damage::Version);
        }
        let network = order.u32(network);
        // draft-ietf-opsawg-pcap section 4: the upper four bits count the 16-bit words of the FCS, where bit 26 says that they do.
        let fcs = if network & 1 << 26 != 0 { (network >> 28).to_le_bytes()[0].wrapping_mul(2) } else { 0 };
        let [number0, number1, ..] = network.to_le_bytes();
        Ok(Self { order, tick_ns, extra, frames: Frames::of(u16::from_le_bytes([number0, number1]), fcs) })
    }

    /// Reads records from `rest` on into the batch.
    ///
    /// Budget: 10 ns a packet of 90 octets in the page cache. The byte order is settled outside of the loop.
    pub(super) fn fill<'a>(&self, rest: &mut &'a [u8], batch: &mut Batch<'a>, passed: &mut Passed) -> Result<(), Damage> {
        match self.order {
            Order::Little => self.fill_with(rest, batch, passed, u32::from_le_bytes),
            Order::Big => self.fill_with(rest, batch, passed, u32::from_be_bytes),
        }
    }

    #[inline(always)]
    fn fill_with<'a>(
        &self,
        input: &mut &'a [u8],
        batch: &mut Batch<'a>,
        passed: &mut Passed,
        u32_of: impl Fn([u8; 4]) -> u32,
    ) -> Result<(), Damage> {
        let Self { tick_ns, extra, frames, .. } = *self;
        let mut rest = *input;
        let outcome = loop {
            let Some((head, body)) = rest.split_first_chunk::<16>() else {
                break if rest.is_empty() { Ok(()) } else { Err(Damage::RecordCut) };
            };
            let [seconds, fraction, captured, original] = words(head).map(&u32_of);
            let cut = body.get(extra..).and_then(|body| body.split_at_checked(captured as usize));
            let Some((bytes, after)) = cut else { break Err(Damage::RecordCut) };
            prefetch_ahead(rest, bytes.len());
            if let Some(number) = frames.unread() {
                passed.add(number);
                rest = after;
                continue;
            }
            // 2^32 seconds and 2^32 ticks stay below 2^64 ns together: nothing can wrap.
            let time = u64::from(seconds).wrapping_mul(1_000_000_000).wrapping_add(u64::from(fraction).wrapping_mul(tick_ns));
            let (link, bytes, wire_len) = frames.cut(bytes, original.min(WIRE_MAX));
            if !batch.push(Frame { bytes, wire_len, link, port: 0, time }) {
                break Ok(());
            }
            rest = after;
        };
        *input = rest;
        outcome
    }
}
