//! How requests over UDP were answered, since the flow's last record: DNS, NTP, SNMP, RADIUS.
//!
//! The application is IANA's `applicationId`, by the port that IANA gave to the protocol (RFC 6759 section 4.1: classification engine 3,
//! "IANA-L4"). The mean time of an answer is Flowmon's and ntop's. No registry has elements for how many there were, their least and
//! greatest times, quantiles, and requests that were repeated or not answered: those are in [`super::own`].

use sonde_record::fact::{Application, UdpPerformance};

use super::measured::{MICROSECOND, MILLISECOND, mean, time};
use crate::cursor::Cursor;
use crate::format::ipfix::field::{Field, field, flowmon, ntop, octets};

pub(crate) const FIELDS: [Field; 3] = [field(95), flowmon(70), ntop(125)];

/// Octets of these fields.
const OCTETS: usize = octets(&FIELDS);

/// Classification engine "IANA-L4" (RFC 6759 section 4.1).
const IANA_L4: u8 = 3;

/// Engine and port; zeros where no message of a protocol was seen.
fn application_id(application: Option<Application>) -> [u8; 3] {
    let port: u16 = match application {
        None => return [0; 3],
        Some(Application::Dns) => 53,
        Some(Application::Ntp) => 123,
        Some(Application::Snmp) => 161,
        Some(Application::Radius) => 1812,
    };
    let [high, low] = port.to_be_bytes();
    [IANA_L4, high, low]
}

/// Writes the fields.
pub(crate) fn encode(udp: &UdpPerformance, out: &mut [u8; OCTETS]) {
    let mut out = Cursor(out);
    out.put(application_id(udp.application));
    let mean = mean(&udp.responses);
    out.put(time(mean, MICROSECOND));
    out.put(time(mean, MILLISECOND));
    out.end();
}
