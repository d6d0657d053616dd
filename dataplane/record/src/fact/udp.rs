//! How requests over UDP were answered.

use super::kind::{Fact, Facts, Id, open, read_fact};
use super::responses::{self, ResponseTimes, get_responses, put_responses};
use crate::field::Value::{Absent, Text, Unsigned};
use crate::field::{Row, Rows, Type, Unit, Value, iana, own};
use crate::view::RecordView;

/// A protocol of requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Application {
    /// RFC 1035.
    Dns = 1,
    /// RFC 5905.
    Ntp = 2,
    /// RFC 1157, RFC 3416, RFC 3412.
    Snmp = 3,
    /// RFC 2865, RFC 2866, RFC 5176.
    Radius = 4,
}

impl Application {
    /// The protocol whose port is one of these.
    pub fn of_ports(sport: u16, dport: u16) -> Option<Self> {
        let of = |port| match port {
            53 => Some(Self::Dns),
            123 => Some(Self::Ntp),
            161 => Some(Self::Snmp),
            1812 | 1813 | 1645 | 1646 | 3799 => Some(Self::Radius),
            _ => None,
        };
        of(dport).or_else(|| of(sport))
    }

    /// The protocol with this number, if there is one.
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Dns, Self::Ntp, Self::Snmp, Self::Radius].into_iter().find(|a| *a as u8 == number)
    }
}

/// How requests over UDP were answered since the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct UdpPerformance {
    /// The protocol; `None` until a message of one was seen.
    pub application: Option<Application>,
    /// From the first request of its number to the first answer. Measured when `count` is not 0.
    pub responses: ResponseTimes,
    /// Requests sent again before they were answered.
    pub repeated: u32,
    /// Requests given up, because four later ones waited too. Those that still wait are not counted.
    pub unanswered: u32,
}

impl Application {
    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Ntp => "ntp",
            Self::Snmp => "snmp",
            Self::Radius => "radius",
        }
    }
}

fn udp(record: &RecordView<'_>, read: impl FnOnce(&UdpPerformance) -> Value) -> Value {
    record.get::<UdpPerformance>().map_or(Absent, |udp| read(&udp))
}

/// How requests over UDP were answered; the times are in [`responses::ROWS`].
pub(crate) const ROWS: Rows = Rows {
    title: "Requests over UDP (DNS, NTP, SNMP, RADIUS)",
    facts: Facts::NONE.with(Id::Udp),
    rows: &[
        Row::new("udp_application", Type::Text, "dns, ntp, snmp or radius", |r, _| {
            udp(r, |udp| Value::maybe(udp.application, |application| Text(application.name())))
        })
        .api(&["udp.application"])
        .elements(&[iana(95, "applicationId")])
        .source("RFC 6759"),
        Row::new("repeated_requests", Type::Unsigned, "sent again before they were answered", |r, _| {
            udp(r, |udp| Unsigned(udp.repeated.into()))
        })
        .unit(Unit::Packets)
        .api(&["udp.repeated"])
        .elements(&[own(90, "sondeRepeatedRequests")]),
        Row::new("unanswered_requests", Type::Unsigned, "given up, because four later ones waited too", |r, _| {
            udp(r, |udp| Unsigned(udp.unanswered.into()))
        })
        .unit(Unit::Packets)
        .api(&["udp.unanswered"])
        .elements(&[own(91, "sondeUnansweredRequests")]),
    ],
};

impl Fact for UdpPerformance {
    const ID: Id = Id::Udp;
    const WORDS_MAX: usize = 3 + responses::WORDS;

    fn encode(&self, words: &mut [u64]) -> usize {
        let Some(mut writer) = open(words, Self::ID, Self::WORDS_MAX) else { return 0 };
        let application = self.application.map_or(0, |a| u64::from(a as u8));
        writer.put([application | u64::from(self.responses.count) << 32, u64::from(self.repeated) | u64::from(self.unanswered) << 32]);
        put_responses(&mut writer, &self.responses);
        Self::WORDS_MAX
    }

    fn decode(words: &[u64]) -> Option<Self> {
        let mut reader = read_fact(words, Self::ID, Self::WORDS_MAX)?;
        let [application, count] = reader.halves()?;
        let [repeated, unanswered] = reader.halves()?;
        let responses = get_responses(&mut reader, count)?;
        let application = match application {
            0 => None,
            number => Some(Application::from_u8(u8::try_from(number).ok()?)?),
        };
        Some(Self { application, responses, repeated, unanswered })
    }
}
