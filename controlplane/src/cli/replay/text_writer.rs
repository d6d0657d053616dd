//! Numbers, addresses and times as text, into one large buffer.
//!
//! A file of a million flows is a million lines of thirty-odd fields: through `fmt` that costs more than metering the packets did.
//! Here a field is one store of eight octets where its length is known only afterwards, without a branch on its length.

use std::io::{self, Write};

/// Octets that are gathered before they are written: one system call for each of these.
const GATHER: usize = 256 << 10;
/// Room that every `field` call may rely on: the longest single item (an IPv6 address with an embedded IPv4 one, 45) and the slack
/// of an eight-octet store.
const SLACK: usize = 64;

/// Writes text fields to a file.
#[derive(Debug)]
pub struct TextWriter<W: Write> {
    out: W,
    buffer: Vec<u8>,
    at: usize,
    /// Text of the last whole second that was written: flows of one burst share it.
    second: (u64, [u8; 8], usize, u64),
}

/// Every octet in decimal with a dot behind it, and how long that is.
#[expect(clippy::cast_possible_truncation, reason = "single digits")]
const OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'.'; 4], 0); 256];
    let mut n = 0;
    while n < 256 {
        let digits = [b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
        let skip = if n < 10 {
            2
        } else if n < 100 {
            1
        } else {
            0
        };
        let mut at = skip;
        while at < 3 {
            octets[n].0[at - skip] = digits[at];
            at += 1;
        }
        octets[n].1 = 4 - skip as u8;
        n += 1;
    }
    octets
};

/// Every octet in hexadecimal.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut hex = [[0; 2]; 256];
    let mut n = 0;
    while n < 256 {
        hex[n] = [digits[n >> 4], digits[n & 15]];
        n += 1;
    }
    hex
};

/// The eight decimal digits of a number below 10^8, one an octet, the first digit in the lowest one (without the '0').
///
/// Divides all parts of the number at once (P. Khuong, "How to print integers really fast").
fn eight_digits(value: u64) -> u64 {
    debug_assert!(value < 100_000_000);
    let (top, bottom) = (value / 10_000, value % 10_000);
    let merged = top | bottom << 32;
    let hundreds_top = ((merged * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let hundreds = hundreds_top + ((merged - 100 * hundreds_top) << 16);
    let tens_top = ((hundreds * 103) >> 10) & 0x000f_000f_000f_000f;
    tens_top + ((hundreds - 10 * tens_top) << 8)
}

const ZEROS: u64 = 0x3030_3030_3030_3030;

impl<W: Write> TextWriter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, buffer: vec![0; GATHER + SLACK], at: 0, second: (u64::MAX, [0; 8], 0, 0) }
    }

    /// Writes out what was gathered if less than `room` octets are left for the next line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn room(&mut self, room: usize) -> io::Result<()> {
        if self.at + room > GATHER {
            self.flush()?;
            // A file name may be longer than everything else of a line.
            self.buffer.resize(self.buffer.len().max(room + SLACK), 0);
        }
        Ok(())
    }

    /// Writes out what was gathered.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        let gathered = std::mem::take(&mut self.at);
        self.out.write_all(&self.buffer[..gathered])?;
        self.out.flush()
    }

    /// Text as it is.
    pub fn text(&mut self, text: &[u8]) {
        self.buffer[self.at..self.at + text.len()].copy_from_slice(text);
        self.at += text.len();
    }

    /// One octet.
    pub fn byte(&mut self, byte: u8) {
        self.buffer[self.at] = byte;
        self.at += 1;
    }

    fn eight(&mut self, octets: u64, length: usize) {
        self.buffer[self.at..self.at + 8].copy_from_slice(&octets.to_le_bytes());
        self.at += length;
    }

    /// Ends the line: the comma behind its last field becomes the line break.
    pub fn end_line(&mut self) {
        self.at -= 1;
        self.byte(b'\n');
    }

    /// Puts text, which may be empty, before the break of the line that was just ended.
    pub fn extend_line(&mut self, text: &[u8]) {
        self.at -= 1;
        self.text(text);
        self.byte(b'\n');
    }

    /// A number and the comma behind it.
    pub fn number(&mut self, value: u64) {
        self.digits(value);
        self.byte(b',');
    }

    /// A number, with nothing behind it.
    pub fn digits(&mut self, value: u64) {
        if value >= 100_000_000 {
            // Recursion of at most two: 2^64 has twenty digits.
            self.digits(value / 100_000_000);
            self.eight(eight_digits(value % 100_000_000) + ZEROS, 8);
            return;
        }
        let digits = eight_digits(value);
        // The last digit is written even where it is 0.
        let leading = (digits | 1 << 63).trailing_zeros() / 8;
        self.eight((digits + ZEROS) >> (leading * 8), 8 - leading as usize);
    }

    /// A time in nanoseconds as seconds with nine decimals, and a comma.
    pub fn time(&mut self, ns: u64) {
        let (seconds, fraction) = (ns / 1_000_000_000, ns % 1_000_000_000);
        if seconds != self.second.0 {
            let start = self.at;
            self.digits(seconds);
            self.byte(b'.');
            let length = self.at - start;
            let mut text = [0; 16];
            text[..length].copy_from_slice(&self.buffer[start..self.at]);
            let [low, high] = [&text[..8], &text[8..]].map(|half| half.try_into().unwrap_or([0; 8]));
            self.second = (seconds, low, length, u64::from_le_bytes(high));
        } else {
            let (_, low, length, high) = self.second;
            let start = self.at;
            self.eight(u64::from_le_bytes(low), 8);
            self.eight(high, 8);
            self.at = start + length;
        }
        let (first, rest) = (fraction / 100_000_000, fraction % 100_000_000);
        // One digit: what `eight` stores behind it is written over.
        self.eight(first + u64::from(b'0'), 1);
        self.eight(eight_digits(rest) + ZEROS, 8);
        self.byte(b',');
    }

    /// An IPv4 address and a comma.
    pub fn ipv4(&mut self, address: [u8; 4]) {
        self.dotted(address);
        self.byte(b',');
    }

    fn dotted(&mut self, address: [u8; 4]) {
        for octet in address {
            let (text, length) = OCTETS[usize::from(octet)];
            self.buffer[self.at..self.at + 4].copy_from_slice(&text);
            self.at += usize::from(length);
        }
        self.at -= 1; // the last dot
    }

    /// An IPv6 address (RFC 5952) and a comma. Addresses of ::/96 and ::ffff:0:0/96 end as IPv4 ones do (section 5), as
    /// `inet_ntop` writes them.
    pub fn ipv6(&mut self, address: &[u8; 16]) {
        let (pairs, _) = address.as_chunks::<2>();
        let mut groups = [0u16; 8];
        for (group, pair) in groups.iter_mut().zip(pairs) {
            *group = u16::from_be_bytes(*pair);
        }
        let (zeros_at, zeros) = longest_zeros(&groups);
        let embedded = zeros_at == 0 && (zeros == 6 || (zeros == 5 && groups[5] == 0xffff));
        let mut at = 0;
        while at < 8 {
            if at == zeros_at && zeros >= 2 {
                self.text(b"::");
                at += zeros;
                continue;
            }
            if at > 0 && at != zeros_at + zeros {
                self.byte(b':');
            }
            if at == 6 && embedded {
                let [.., a, b, c, d] = *address;
                self.dotted([a, b, c, d]);
                break;
            }
            self.group(groups[at]);
            at += 1;
        }
        self.byte(b',');
    }

    /// Hexadecimal without leading zeros.
    fn group(&mut self, group: u16) {
        let [high, low] = group.to_be_bytes();
        let ([a, b], [c, d]) = (HEX[usize::from(high)], HEX[usize::from(low)]);
        let text = u32::from_le_bytes([a, b, c, d]);
        let leading = (group | 1).leading_zeros() / 4;
        self.buffer[self.at..self.at + 4].copy_from_slice(&(text >> (leading * 8)).to_le_bytes());
        self.at += 4 - leading as usize;
    }

    /// A MAC address and a comma.
    pub fn mac(&mut self, address: [u8; 6]) {
        let mut text = [b':'; 18];
        for (to, octet) in text.chunks_exact_mut(3).zip(address) {
            to[..2].copy_from_slice(&HEX[usize::from(octet)]);
        }
        text[17] = b',';
        self.text(&text);
    }

    /// An ethertype as tshark writes it, `0x0806`, and a comma.
    pub fn ethertype(&mut self, ethertype: u16) {
        let [high, low] = ethertype.to_be_bytes();
        self.text(b"0x");
        self.text(&HEX[usize::from(high)]);
        self.text(&HEX[usize::from(low)]);
        self.byte(b',');
    }
}

/// Where the longest run of two or more zero groups begins and how long it is; the first of equal ones (RFC 5952 section 4.2.3).
fn longest_zeros(groups: &[u16; 8]) -> (usize, usize) {
    let (mut best_at, mut best) = (8, 1);
    let mut run = 0;
    for (at, group) in groups.iter().enumerate() {
        run = if *group == 0 { run + 1 } else { 0 };
        if run > best {
            (best_at, best) = (at + 1 - run, run);
        }
    }
    if best_at == 8 { (8, 0) } else { (best_at, best) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn write(work: impl FnOnce(&mut TextWriter<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        let mut writer = TextWriter::new(&mut out);
        work(&mut writer);
        writer.flush().expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn numbers_are_those_of_std() {
        let mut values: Vec<u64> = (0..20_000).collect();
        for power in 0..20 {
            let ten = 10u64.pow(power);
            values.extend([ten - 1, ten, ten + 1, ten.saturating_mul(7), u64::MAX / ten]);
        }
        for value in values {
            assert_eq!(write(|writer| writer.number(value)), format!("{value},"));
        }
    }

    #[test]
    fn times_have_nine_decimals() {
        let times = [0, 1, 999_999_999, 1_000_000_000, 1_000_000_001, 1_700_000_000_123_456_789, 1_700_000_000_000_000_000, u64::MAX];
        let expected: String = times.iter().map(|ns| format!("{}.{:09},", ns / 1_000_000_000, ns % 1_000_000_000)).collect();
        assert_eq!(write(|writer| times.iter().for_each(|ns| writer.time(*ns))), expected);
    }

    #[test]
    fn ipv4_addresses() {
        for octet in 0..=255 {
            assert_eq!(write(|writer| writer.ipv4([octet, 0, 255 - octet, octet])), format!("{octet}.0.{}.{octet},", 255 - octet));
        }
    }

    #[test]
    fn ipv6_addresses_are_those_of_std() {
        // Every pattern of zero and non-zero groups, except those that std and `inet_ntop` write differently (::/96).
        for pattern in 0u32..256 {
            let groups: [u16; 8] = std::array::from_fn(|at| if pattern >> at & 1 == 1 { [0xf, 0x20, 0x301, 0x4001][at % 4] } else { 0 });
            let address = Ipv6Addr::from(groups);
            if pattern & 0x3f == 0 && pattern & 0x40 != 0 {
                continue;
            }
            assert_eq!(write(|writer| writer.ipv6(&address.octets())), format!("{address},"));
        }
        for (text, address) in [("::ffff:1.2.3.4", 0xffff_0102_0304), ("::1.2.3.4", 0x0102_0304), ("::1", 1), ("::", 0u128)] {
            assert_eq!(write(|writer| writer.ipv6(&address.to_be_bytes())), format!("{text},"));
        }
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(write(|writer| writer.mac([0, 0x11, 0xa2, 0xff, 9, 0x90])), "00:11:a2:ff:09:90,");
        assert_eq!(write(|writer| writer.ethertype(0x0806)), "0x0806,");
    }

    #[test]
    fn what_is_gathered_is_written_in_order_and_long_lines_fit() {
        let long = vec![b'x'; 3 * GATHER];
        let text = write(|writer| {
            for n in 0..100_000 {
                writer.room(30).expect("memory");
                writer.number(n);
            }
            writer.room(long.len() + 30).expect("memory");
            writer.text(&long);
            writer.number(7);
        });
        let mut expected: String = (0..100_000).map(|n| format!("{n},")).collect();
        expected.push_str(&"x".repeat(long.len()));
        expected.push_str("7,");
        assert!(text == expected);
    }
}
