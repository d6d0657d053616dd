//! How fast network and server were, a column each, whatever the protocol: round trips of TCP and QUIC, response times of TCP and UDP.

use sonde_proto::v1::{QuicPerformance, TcpPerformance, UdpPerformance};

/// Heading of the first of the [`columns`].
pub(super) const RTT: &str = "RTT MS";
/// Heading of the second.
pub(super) const RESPONSE: &str = "RESP MS";

/// Round trip of the handshake and mean response time in milliseconds, to the microsecond; empty where it was not measured. Of a
/// handshake of which one half was seen there is no round trip.
pub(super) fn columns(tcp: Option<&TcpPerformance>, udp: Option<&UdpPerformance>, quic: Option<&QuicPerformance>) -> [String; 2] {
    let halves = tcp.map(|tcp| (tcp.server_rtt_us, tcp.client_rtt_us)).or(quic.map(|quic| (quic.server_rtt_us, quic.client_rtt_us)));
    let round_trip = halves.and_then(|(server, client)| Some(server? + client?));
    let requests = tcp.map(|tcp| (tcp.responses, tcp.response_mean_us)).or(udp.map(|udp| (Some(udp.responses), udp.response_mean_us)));
    let response = requests.filter(|(count, _)| count.is_some_and(|count| count > 0)).and_then(|(_, mean)| mean);
    [round_trip, response].map(|us| us.map(|us| format!("{:.3}", us / 1000.0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_column_is_fed_by_every_protocol() {
        let tcp = TcpPerformance {
            server_rtt_us: Some(20_000.0),
            client_rtt_us: Some(1500.5),
            responses: Some(2),
            response_mean_us: Some(7654.321),
            ..TcpPerformance::default()
        };
        assert_eq!(columns(Some(&tcp), None, None), ["21.500", "7.654"]);
        let udp = UdpPerformance { responses: 1, response_mean_us: Some(12_345.0), ..UdpPerformance::default() };
        assert_eq!(columns(None, Some(&udp), None), ["", "12.345"]);
        let quic = QuicPerformance { server_rtt_us: Some(30_000.0), client_rtt_us: Some(0.0), ..QuicPerformance::default() };
        assert_eq!(columns(None, None, Some(&quic)), ["30.000", ""]);
    }

    #[test]
    fn what_was_not_measured_is_empty() {
        let half = TcpPerformance { server_rtt_us: Some(20_000.0), responses: Some(0), ..TcpPerformance::default() };
        assert_eq!(columns(Some(&half), None, None), ["", ""]);
        assert_eq!(columns(Some(&TcpPerformance::default()), None, None), ["", ""]);
        assert_eq!(columns(None, Some(&UdpPerformance::default()), None), ["", ""]);
        assert_eq!(columns(None, None, Some(&QuicPerformance::default())), ["", ""]);
        assert_eq!(columns(None, None, None), ["", ""]);
    }
}
