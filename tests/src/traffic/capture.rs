//! Capture files as they are written in the wild: pcap and pcapng, microseconds and nanoseconds, both byte orders.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{Packet, Totals};

/// LINKTYPE_ETHERNET of the pcap registry.
pub const ETHERNET: u32 = 1;
/// LINKTYPE_NULL: BSD loopback.
pub const NULL: u32 = 0;
/// LINKTYPE_RAW: an IP header.
pub const RAW: u32 = 101;
/// LINKTYPE_LINUX_SLL: Linux cooked capture.
pub const LINUX_SLL: u32 = 113;
/// LINKTYPE_LINUX_SLL2: Linux cooked capture, version 2.
pub const LINUX_SLL2: u32 = 276;

/// Which file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The old one (draft-ietf-opsawg-pcap).
    Pcap,
    /// The next generation (draft-ietf-opsawg-pcapng).
    PcapNg,
}

/// Resolution of the timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Microseconds.
    Micro,
    /// Nanoseconds.
    Nano,
}

/// Byte order of the file's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant octet first.
    Little,
    /// Most significant octet first.
    Big,
}

/// Writes packets as most captures are: Ethernet in a pcap of nanoseconds. What was written is summed up.
///
/// # Panics
/// When the file cannot be written.
pub fn save(path: &Path, packets: impl IntoIterator<Item = Packet>) -> Totals {
    let file = BufWriter::new(File::create(path).expect("a file"));
    let mut writer = CaptureWriter::new(file, Format::Pcap, Resolution::Nano, ByteOrder::Little, ETHERNET).expect("a header");
    let mut totals = Totals::default();
    for packet in packets {
        totals.add(&packet.bytes);
        writer.packet(&packet).expect("room");
    }
    writer.finish().expect("room");
    totals
}

/// As [`save`], of packets in any order.
///
/// # Panics
/// When the file cannot be written.
pub fn save_in_order(path: &Path, mut packets: Vec<Packet>) -> Totals {
    packets.sort_by_key(|packet| packet.time);
    save(path, packets)
}

/// Writes one capture.
pub struct CaptureWriter<W: Write> {
    out: W,
    format: Format,
    resolution: Resolution,
    order: ByteOrder,
    snap_len: u32,
    scratch: Vec<u8>,
}

impl<W: Write> CaptureWriter<W> {
    /// Starts a capture with one interface of this link type (a LINKTYPE number). Frames are not cut.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn new(out: W, format: Format, resolution: Resolution, order: ByteOrder, link: u32) -> io::Result<Self> {
        Self::with_snap_len(out, format, resolution, order, link, 262_144)
    }

    /// Starts a capture whose frames are cut after `snap_len` octets.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn with_snap_len(out: W, format: Format, resolution: Resolution, order: ByteOrder, link: u32, snap_len: u32) -> io::Result<Self> {
        let mut this = Self { out, format, resolution, order, snap_len, scratch: Vec::new() };
        match format {
            Format::Pcap => this.pcap_header(link),
            Format::PcapNg => this.section_header(),
        }
        this.flush_scratch()?;
        if format == Format::PcapNg {
            this.add_interface(link)?;
        }
        Ok(this)
    }

    /// Adds an interface to a pcapng; the first one has number 0 and is there already.
    ///
    /// # Errors
    /// When the block cannot be written.
    pub fn add_interface(&mut self, link: u32) -> io::Result<()> {
        assert_eq!(self.format, Format::PcapNg, "a pcap has one interface");
        let link = u16::try_from(link).expect("link types of the registry have 16 bits");
        let mut body = Vec::new();
        self.u16(&mut body, link);
        self.u16(&mut body, 0);
        self.u32(&mut body, self.snap_len);
        // if_tsresol, option 9: powers of ten; absent it would be microseconds.
        self.u16(&mut body, 9);
        self.u16(&mut body, 1);
        body.extend([if self.resolution == Resolution::Nano { 9 } else { 6 }, 0, 0, 0]);
        self.u32(&mut body, 0);
        self.block(1, &body);
        self.flush_scratch()
    }

    /// Writes a packet of interface 0.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn packet(&mut self, packet: &Packet) -> io::Result<()> {
        self.frame(0, packet.time, &packet.bytes)
    }

    /// Writes a frame of this interface (pcap knows only 0).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn frame(&mut self, interface: u32, time: u64, bytes: &[u8]) -> io::Result<()> {
        let wire = u32::try_from(bytes.len()).expect("a frame has fewer than 2^32 octets");
        let kept = wire.min(self.snap_len);
        let bytes = &bytes[..usize::try_from(kept).expect("a frame fits memory")];
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        if self.format == Format::Pcap {
            assert_eq!(interface, 0, "a pcap has one interface");
            let (unit, per_second) = self.unit();
            self.u32(&mut body, u32::try_from(time / super::SECOND).expect("a time before 2106"));
            self.u32(&mut body, u32::try_from(time / unit % per_second).expect("a fraction of a second"));
            self.u32(&mut body, kept);
            self.u32(&mut body, wire);
            body.extend(bytes);
            self.scratch = body;
        } else {
            let ticks = time / self.unit().0;
            let [high, low] = [ticks >> 32, ticks & u64::from(u32::MAX)].map(|half| u32::try_from(half).expect("half of 64 bits"));
            // The length of an enhanced packet block is known at once: written in place, for files of millions of packets.
            let padded = bytes.len().next_multiple_of(4);
            let total = u32::try_from(32 + padded).expect("a block has fewer than 2^32 octets");
            for word in [6, total, interface, high, low, kept, wire] {
                self.u32(&mut body, word);
            }
            body.extend(bytes);
            body.resize(28 + padded, 0);
            self.u32(&mut body, total);
            self.scratch = body;
        }
        self.flush_scratch()
    }

    /// Writes a block of a kind that readers do not know, which they must skip (pcapng only).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn unknown_block(&mut self, body: &[u8]) -> io::Result<()> {
        assert_eq!(self.format, Format::PcapNg, "a pcap has no blocks");
        self.block(0x0000_0bad, body);
        self.flush_scratch()
    }

    /// Ends the capture and gives back what it was written to.
    ///
    /// # Errors
    /// When it cannot be flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }

    fn unit(&self) -> (u64, u64) {
        match self.resolution {
            Resolution::Micro => (1000, 1_000_000),
            Resolution::Nano => (1, 1_000_000_000),
        }
    }

    fn pcap_header(&mut self, link: u32) {
        let magic = if self.resolution == Resolution::Nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let mut header = Vec::new();
        self.u32(&mut header, magic);
        self.u16(&mut header, 2);
        self.u16(&mut header, 4);
        for word in [0, 0, self.snap_len, link] {
            self.u32(&mut header, word);
        }
        self.scratch = header;
    }

    fn section_header(&mut self) {
        let mut body = Vec::new();
        self.u32(&mut body, 0x1a2b_3c4d);
        self.u16(&mut body, 1);
        self.u16(&mut body, 0);
        // Section length "not specified".
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body);
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let padded = body.len().next_multiple_of(4);
        let total = u32::try_from(12 + padded).expect("a block has fewer than 2^32 octets");
        let mut block = Vec::with_capacity(12 + padded);
        self.u32(&mut block, kind);
        self.u32(&mut block, total);
        block.extend(body);
        block.resize(8 + padded, 0);
        self.u32(&mut block, total);
        self.scratch = block;
    }

    fn flush_scratch(&mut self) -> io::Result<()> {
        self.out.write_all(&self.scratch)
    }

    fn u16(&self, out: &mut Vec<u8>, value: u16) {
        out.extend(if self.order == ByteOrder::Big { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn u32(&self, out: &mut Vec<u8>, value: u32) {
        out.extend(if self.order == ByteOrder::Big { value.to_be_bytes() } else { value.to_le_bytes() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(format: Format, resolution: Resolution, order: ByteOrder) -> Vec<u8> {
        let mut writer = CaptureWriter::new(Vec::new(), format, resolution, order, ETHERNET).unwrap();
        writer.packet(&Packet { time: 3_000_000_007, bytes: vec![0xaa; 5] }).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn pcap_is_a_header_of_24_and_records_of_16_octets() {
        let bytes = write(Format::Pcap, Resolution::Nano, ByteOrder::Big);
        assert_eq!(bytes.len(), 24 + 16 + 5);
        assert_eq!(bytes[..4], [0xa1, 0xb2, 0x3c, 0x4d]);
        assert_eq!(bytes[24..40], [0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 5, 0, 0, 0, 5]);
        let bytes = write(Format::Pcap, Resolution::Micro, ByteOrder::Little);
        assert_eq!(bytes[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
        assert_eq!(bytes[24..32], [3, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn pcapng_blocks_end_with_their_length() {
        let bytes = write(Format::PcapNg, Resolution::Nano, ByteOrder::Little);
        let mut at = 0;
        let mut kinds = Vec::new();
        while at < bytes.len() {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let length = usize::try_from(word(at + 4)).unwrap();
            assert_eq!(word(at + length - 4), word(at + 4));
            kinds.push(word(at));
            at += length;
        }
        assert_eq!((at, kinds), (bytes.len(), vec![0x0a0d_0d0a, 1, 6]));
    }

    #[test]
    fn frames_are_cut_at_the_snap_length() {
        let order = ByteOrder::Little;
        let mut writer = CaptureWriter::with_snap_len(Vec::new(), Format::Pcap, Resolution::Micro, order, ETHERNET, 4).unwrap();
        writer.packet(&Packet { time: 0, bytes: vec![1; 9] }).unwrap();
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes[32..], [4, 0, 0, 0, 9, 0, 0, 0, 1, 1, 1, 1]);
    }
}
