//! What the largest talkers are: the values that flows are summed up by.

use crate::filter::has_ports;
use crate::notation;
use sonde_enrich::{Country, Enricher, Place};
use sonde_proto::v1;
use sonde_record::{Head, Kind, NO_VLAN, RecordView};

/// What rows are grouped by. The discriminant is the index of a second's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum By {
    /// The whole key: addresses, ports, protocol, VLAN.
    Flow,
    /// Source address (a MAC address where there is no IP).
    Source,
    /// Destination address.
    Destination,
    /// Source and destination address: a flow counts for both.
    Address,
    /// Source and destination port: a flow counts for both.
    Port,
    /// IANA protocol.
    Protocol,
    /// VLAN of the first packet, outer.
    Vlan,
    /// Source and destination AS: a flow counts for both.
    As,
    /// Source AS.
    SourceAs,
    /// Destination AS.
    DestinationAs,
    /// Country of source and destination: a flow counts for both.
    Country,
    /// Own prefix of source and destination: a flow counts for both, one of neither for none.
    Network,
}

/// How many there are.
pub(crate) const TABLES: usize = By::Network as usize + 1;

impl By {
    /// Every one, in the order of their tables.
    pub(crate) const ALL: [Self; TABLES] = [
        Self::Flow,
        Self::Source,
        Self::Destination,
        Self::Address,
        Self::Port,
        Self::Protocol,
        Self::Vlan,
        Self::As,
        Self::SourceAs,
        Self::DestinationAs,
        Self::Country,
        Self::Network,
    ];

    /// Its name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Address => "address",
            Self::Port => "port",
            Self::Protocol => "protocol",
            Self::Vlan => "vlan",
            Self::As => "as",
            Self::SourceAs => "source_as",
            Self::DestinationAs => "destination_as",
            Self::Country => "country",
            Self::Network => "network",
        }
    }

    /// Whether its values are what addresses are looked up for.
    pub(crate) fn is_looked_up(self) -> bool {
        matches!(self, Self::As | Self::SourceAs | Self::DestinationAs | Self::Country | Self::Network)
    }

    /// The values of a record: none, one, or two when both ends count. `ends`: where and whose its ends are, where that is known.
    pub(crate) fn values(self, r: &RecordView<'_>, ends: Option<&Ends<'_>>) -> [Option<Value>; 2] {
        let both = |a: Value, b: Value| [Some(a), (a != b).then_some(b)];
        let places = |value: fn(&Place<'_>) -> Value| ends.map_or([None, None], |[a, b]| both(value(a), value(b)));
        match self {
            Self::Flow => [Some(Value::Flow(FlowKey::of(r))), None],
            Self::Source => [Some(Value::source(r)), None],
            Self::Destination => [Some(Value::destination(r)), None],
            Self::Address => both(Value::source(r), Value::destination(r)),
            Self::Port if has_ports(r.kind(), r.proto()) => both(Value::Number(r.sport()), Value::Number(r.dport())),
            Self::Port => [None, None],
            Self::Protocol if r.kind() == Kind::Layer2 => [Some(Value::Ethertype(r.ethertype())), None],
            Self::Protocol => [Some(Value::Protocol(r.proto())), None],
            Self::Vlan => {
                let [outer, _] = r.vlan();
                [Some(Value::Number(outer)), None]
            }
            Self::As => places(Value::system),
            Self::SourceAs => [ends.map(|[source, _]| Value::system(source)), None],
            Self::DestinationAs => [ends.map(|[_, destination]| Value::system(destination)), None],
            Self::Country => places(|place| Value::Country(place.country)),
            Self::Network => places(|place| Value::Network(Name::of(place.network))).map(|value| value.filter(Value::is_known)),
        }
    }
}

/// Where and whose source and destination are.
pub(crate) type Ends<'a> = [Place<'a>; 2];

/// Looks up both ends of a record; `None` of one without IP, and where nothing is looked up.
pub(crate) fn ends<'a>(record: &RecordView<'_>, table: Option<&'a Enricher>) -> Option<Ends<'a>> {
    let table = table?;
    let find = |bytes| notation::ip(record.kind(), bytes).map(|address| table.lookup(address));
    Some([find(&record.src())?, find(&record.dst())?])
}

/// The name of an own prefix: settings allow 24 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name([u8; 24]);

impl Name {
    fn of(text: &str) -> Self {
        let mut bytes = [0; 24];
        bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Self(bytes)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).trim_end_matches('\0').to_owned()
    }
}

/// The key of a flow as far as filters and readers want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    kind: Kind,
    proto: u8,
    vlan: u16,
    ports: [u16; 2],
    ethertype: u16,
    ends: [[u8; 16]; 2],
}

impl FlowKey {
    fn of(r: &RecordView<'_>) -> Self {
        let [vlan, _] = r.vlan();
        Self {
            kind: r.kind(),
            proto: r.proto(),
            vlan,
            ports: [r.sport(), r.dport()],
            ethertype: r.ethertype(),
            ends: [end(r, &r.src(), &r.smac()), end(r, &r.dst(), &r.dmac())],
        }
    }

    /// The head of a record with this key, for a filter to look at.
    pub(crate) fn head(&self) -> Head {
        let ([sport, dport], [src, dst]) = (self.ports, self.ends);
        let mut head = Head {
            kind: self.kind,
            proto: self.proto,
            vlan_tci: [self.vlan, NO_VLAN],
            ethertype: self.ethertype,
            sport,
            dport,
            ..Head::default()
        };
        if self.kind == Kind::Layer2 {
            (head.smac, head.dmac) = (mac_of(&src), mac_of(&dst));
        } else {
            (head.src, head.dst) = (src, dst);
        }
        head
    }
}

/// The address of one end: of the network, or of the link where there is no network.
fn end(record: &RecordView<'_>, address: &[u8; 16], mac: &[u8; 6]) -> [u8; 16] {
    if record.kind() != Kind::Layer2 {
        return *address;
    }
    let mut bytes = [0; 16];
    if let Some(tail) = bytes.last_chunk_mut::<6>() {
        *tail = *mac;
    }
    bytes
}

fn mac_of(end: &[u8; 16]) -> [u8; 6] {
    end.last_chunk::<6>().copied().unwrap_or_default()
}

fn end_text(kind: Kind, end: &[u8; 16]) -> String {
    if kind == Kind::Layer2 { notation::mac(&mac_of(end)) } else { notation::address(kind, end) }
}

/// A value rows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Flow(FlowKey),
    Address(Kind, [u8; 16]),
    Number(u16),
    Protocol(u8),
    Ethertype(u16),
    /// 0 is an AS nobody knows.
    As(u32),
    Country(Option<Country>),
    /// Empty outside of own prefixes.
    Network(Name),
}

/// What stands for an AS or a country that is not known.
const UNKNOWN: &str = "unknown";

impl Value {
    fn source(r: &RecordView<'_>) -> Self {
        Self::Address(r.kind(), end(r, &r.src(), &r.smac()))
    }

    fn destination(r: &RecordView<'_>) -> Self {
        Self::Address(r.kind(), end(r, &r.dst(), &r.dmac()))
    }

    fn system(place: &Place<'_>) -> Self {
        Self::As(place.asn)
    }

    /// Whether it is looked up and known.
    fn is_known(&self) -> bool {
        !matches!(self, Self::As(0) | Self::Country(None) | Self::Network(Name([0, ..])))
    }

    /// What is looked up and known, as a place that has nothing else.
    pub(crate) fn place(&self) -> Option<v1::Place> {
        let nothing = v1::Place::default();
        match self {
            Self::As(number) if *number != 0 => Some(v1::Place { as_number: *number, ..nothing }),
            Self::Country(Some(c)) => Some(v1::Place { country: c.to_string(), country_number: c.numeric().into(), ..nothing }),
            Self::Network(name) => Some(v1::Place { network: name.text(), ..nothing }),
            _ => None,
        }
    }

    pub(crate) fn text(&self, by: By) -> String {
        match self {
            _ if !self.is_known() => UNKNOWN.to_owned(),
            Self::As(number) => format!("AS{number}"),
            Self::Country(country) => country.map(|country| country.to_string()).unwrap_or_default(),
            Self::Network(name) => name.text(),
            Self::Number(NO_VLAN) if by == By::Vlan => "untagged".to_owned(),
            Self::Number(n) => n.to_string(),
            Self::Protocol(p) => notation::protocol(*p),
            Self::Ethertype(e) => format!("0x{e:04x}"),
            Self::Address(kind, bytes) => end_text(*kind, bytes),
            Self::Flow(k) => {
                let ([a, b], [sport, dport]) = (&k.ends, k.ports);
                let protocol = if k.kind == Kind::Layer2 { format!("0x{:04x}", k.ethertype) } else { notation::protocol(k.proto) };
                let ported = has_ports(k.kind, k.proto);
                let show = |end: &[u8; 16], port: u16| match (ported, k.kind) {
                    (false, _) => end_text(k.kind, end),
                    (true, Kind::Ipv6) => format!("[{}]:{port}", end_text(k.kind, end)),
                    (true, _) => format!("{}:{port}", end_text(k.kind, end)),
                };
                let vlan = if k.vlan == NO_VLAN { String::new() } else { format!(" vlan {}", k.vlan) };
                format!("{protocol} {} > {}{vlan}", show(a, sport), show(b, dport))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonde_record::Record;

    fn texts(by: By, ends: Option<&Ends<'_>>) -> Vec<String> {
        by.values(&Record::new(Head::default()).view().expect("a record"), ends).into_iter().flatten().map(|value| value.text(by)).collect()
    }

    #[test]
    fn both_ends_count_where_they_differ_and_what_is_not_known_says_so() {
        let cz = Country::new("CZ");
        let office = Place { asn: 64_500, country: cz, network: "office, a long name of 24", ..Place::default() };
        let other = Place { asn: 64_501, country: cz, ..Place::default() };
        let ends = [office, other];
        assert_eq!(texts(By::As, Some(&ends)), ["AS64500", "AS64501"]);
        assert_eq!(
            (texts(By::SourceAs, Some(&ends)), texts(By::DestinationAs, Some(&ends))),
            (vec!["AS64500".into()], vec!["AS64501".into()])
        );
        assert_eq!(texts(By::Country, Some(&ends)), ["CZ"]);
        assert_eq!(texts(By::Network, Some(&ends)), ["office, a long name of 2"], "settings allow 24 octets");
        let unknown = [Place::default(); 2];
        assert_eq!((texts(By::As, Some(&unknown)), texts(By::Country, Some(&unknown))), (vec![UNKNOWN.into()], vec![UNKNOWN.into()]));
        assert_eq!(texts(By::Network, Some(&unknown)), Vec::<String>::new());
        for by in By::ALL.into_iter().filter(|by| by.is_looked_up()) {
            assert_eq!(texts(by, None), Vec::<String>::new(), "nothing is looked up");
        }
    }

    #[test]
    fn a_value_that_was_looked_up_is_a_place() {
        let place = |value: Value| value.place();
        let nothing = v1::Place::default();
        assert_eq!(place(Value::As(7)), Some(v1::Place { as_number: 7, ..nothing.clone() }));
        let country = Some(v1::Place { country: "CZ".into(), country_number: 203, ..nothing.clone() });
        assert_eq!(place(Value::Country(Country::new("CZ"))), country);
        assert_eq!(place(Value::Network(Name::of("office"))), Some(v1::Place { network: "office".into(), ..nothing }));
        assert_eq!([Value::As(0), Value::Country(None), Value::Number(7)].map(place), [None, None, None]);
    }

    #[test]
    fn a_row_takes_no_more_memory_than_a_flow_needs() {
        assert!(size_of::<Value>() <= 56, "{}", size_of::<Value>());
    }
}
