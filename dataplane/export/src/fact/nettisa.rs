//! Statistics of a flow's packets as a time series (`NetTiSA`): thirteen numbers of 32-bit floating point, least and greatest payload of 16
//! bits.

use sonde_record::fact::NetTisa;

use crate::cursor::Cursor;
use crate::format::ipfix::field::{Field, cesnet, octets};

pub(crate) const FIELDS: [Field; 13] = [
    cesnet(1020),
    cesnet(1021),
    cesnet(1022),
    cesnet(1023),
    cesnet(1024),
    cesnet(1025),
    cesnet(1026),
    cesnet(1027),
    cesnet(1028),
    cesnet(1029),
    cesnet(1030),
    cesnet(1031),
    cesnet(1032),
];

/// Octets of these fields.
const OCTETS: usize = octets(&FIELDS);

/// Octets of payload: whole, and 65,535 for more.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; a foreign record's NaN is 0")]
fn whole(payload: f32) -> [u8; 2] {
    (payload as u16).to_be_bytes()
}

/// Writes the fields. A float is sent as IEEE 754 has it (RFC 7011 section 6.1.3).
pub(crate) fn encode(nettisa: &NetTisa, out: &mut [u8; OCTETS]) {
    let mut out = Cursor(out);
    let [mean, min, max, rest @ ..] = nettisa.values();
    out.put(mean.to_be_bytes());
    out.put(whole(min));
    out.put(whole(max));
    rest.into_iter().for_each(|value| out.put(value.to_be_bytes()));
    out.end();
}
