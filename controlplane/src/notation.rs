//! How the API writes addresses, protocols and times.

use prost_types::Timestamp;
use sonde_record::Kind;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Nanoseconds since 1970 UTC as a timestamp.
pub(crate) fn timestamp(ns: u64) -> Timestamp {
    let seconds = i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(ns % 1_000_000_000).unwrap_or(0);
    Timestamp { seconds, nanos }
}

/// Seconds, with nine decimals.
pub(crate) fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// An address of a record; `None` where the flow has none.
pub(crate) fn ip(kind: Kind, bytes: &[u8; 16]) -> Option<IpAddr> {
    let [.., a, b, c, d] = *bytes;
    match kind {
        Kind::Ipv4 => Some(Ipv4Addr::new(a, b, c, d).into()),
        Kind::Ipv6 => Some(Ipv6Addr::from(*bytes).into()),
        Kind::Layer2 => None,
    }
}

/// An address as text (RFC 5952); empty where the flow has none.
pub(crate) fn address(kind: Kind, bytes: &[u8; 16]) -> String {
    ip(kind, bytes).map_or_else(String::new, |address| address.to_string())
}

/// A MAC address as "00:11:22:33:44:55".
pub(crate) fn mac(bytes: &[u8; 6]) -> String {
    let mut text = String::with_capacity(17);
    for (at, byte) in bytes.iter().enumerate() {
        let colon = if at == 0 { "" } else { ":" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{colon}{byte:02x}");
    }
    text
}

/// The name of an IANA protocol number, or the number.
pub(crate) fn protocol(number: u8) -> String {
    sonde_packet::proto::name(number).map_or_else(|| number.to_string(), str::to_owned)
}
