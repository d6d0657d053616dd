//! How a QUIC connection performed: the round trip of its handshake, in the elements of [`super::tcp`].
//!
//! Every record of a connection has it. It is 0 where the client's Initial or the server's answer was sent more than once (Karn's rule).
//! Round trips by the spin bit are in the API and in `sonde replay`: no registry has elements for them, but the operator's own ([`super::own`]) does.

use sonde_record::fact::{QuicPerformance, quic_valid};

use super::measured;
use crate::cursor::Cursor;
use crate::format::ipfix::field::{Field, flowmon, ntop, octets};

pub(crate) const FIELDS: [Field; 3] = [flowmon(69), ntop(123), ntop(124)];

/// Octets of these fields.
const OCTETS: usize = octets(&FIELDS);

/// Writes the fields.
pub(crate) fn encode(quic: &QuicPerformance, out: &mut [u8; OCTETS]) {
    let mut out = Cursor(out);
    let has = |bits: u8| quic.valid & bits == bits;
    let server = has(quic_valid::SERVER_RTT_KARN).then_some(quic.server_rtt);
    let client = has(quic_valid::CLIENT_RTT_KARN).then_some(quic.client_rtt);
    measured::put_round_trip(&mut out, server, client);
    measured::put_latencies(&mut out, server, client);
    out.end();
}
