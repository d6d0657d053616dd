//! Histograms of sizes and of times between packets (`phists`): four lists of eight bins, in ipfixprobe's order.

use sonde_record::fact::{BINS, Histograms};

use crate::cursor::Cursor;
use crate::format::ipfix::field::{Field, octets};
use crate::format::ipfix::list;

const ITEMS: u16 = 8;

/// Sizes forward and reverse, then times.
pub(crate) const FIELDS: [Field; 4] =
    [list::fixed(1060, ITEMS), list::fixed(1062, ITEMS), list::fixed(1061, ITEMS), list::fixed(1063, ITEMS)];

/// Octets of these fields.
const OCTETS: usize = octets(&FIELDS);

const _: () = assert!(ITEMS as usize == BINS);

/// Writes the fields.
pub(crate) fn encode(histograms: &Histograms, out: &mut [u8; OCTETS]) {
    let mut out = Cursor(out);
    let Histograms { sizes: [forward, reverse], times: [ahead, back] } = histograms;
    for (field, bins) in FIELDS.iter().zip([forward, reverse, ahead, back]) {
        list::put(&mut out, field, bins.iter().map(|bin| bin.to_be_bytes()));
    }
    out.end();
}
