//! IEEE 802.11 data frames in GRE, as access points send them to their controller.

use std::ops::RangeInclusive;

use crate::cursor::Cursor;
use crate::link::wireless::{self, ByteOrder};
use crate::listener::Listener;
use crate::tunnel::carried::Carried;

/// GRE's protocol types: the low octet tells access points and priorities apart.
pub(crate) const PROTOCOLS: RangeInclusive<u16> = 0x8200..=0x824f;

/// What the tunnel carries. The listener is told the stations.
pub(crate) fn read(at: &mut Cursor<'_>, listener: &mut impl Listener) -> Option<Carried> {
    Some(Carried::unnamed(wireless::data(at, ByteOrder::Standard, listener)?.into()))
}
