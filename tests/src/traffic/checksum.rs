//! The two checksums of the Internet's transports.

/// The Internet checksum (RFC 1071) over several pieces, as if they stood in one row.
///
/// Every piece but the last must have an even number of octets.
pub fn internet_checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for piece in pieces {
        for pair in piece.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u64::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("the carries were folded")
}

/// CRC32c (RFC 9260 appendix A), which SCTP puts into its header in little-endian order.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internet_checksum_of_rfc_1071() {
        // RFC 1071 section 3: the sum of these octets is ddf2.
        assert_eq!(internet_checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn an_odd_octet_is_padded_with_zero() {
        assert_eq!(internet_checksum(&[&[0x12, 0x34, 0x56]]), internet_checksum(&[&[0x12, 0x34, 0x56, 0x00]]));
    }

    #[test]
    fn crc32c_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
