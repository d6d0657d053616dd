//! Flows by the columns that were asked for (`--columns`), as comma-separated values or as JSON: any fields of the catalogue.

use super::sink::{Sink, Table};
use super::whose::quoted;
use crate::cli::field_columns;
use crate::notation::{mac, seconds};
use crate::place;
use serde_json::{Map, Value as Json};
use sonde_enrich::Enricher;
use sonde_proto::v1::Place;
use sonde_record::catalogue::column;
use sonde_record::field::{End, Field, Lookup, Origin, Type, Value};
use sonde_record::{Output, RecordView};
use std::fmt::Write as _;
use std::io::{self, Write};

/// The column of the file that a flow is from.
const FILE: &str = "file";

/// One column.
#[derive(Clone, Debug)]
enum Column {
    File,
    /// A field, under the name by which it was asked for.
    Field(String, Field),
}

/// The columns that were asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns(Vec<Column>);

/// Where flows are from.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    file: String,
    /// Whether frames of this file have MAC addresses.
    ethernet: bool,
}

impl Origins {
    /// Another file begins.
    pub(super) fn begin(&mut self, file: &str, ethernet: bool) {
        file.clone_into(&mut self.file);
        self.ethernet = ethernet;
    }
}

impl Columns {
    /// The columns of these names: headings, canonical names, or others of the catalogue.
    ///
    /// # Errors
    /// Every name that no field has, each with the nearest one there is.
    pub(super) fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Self> {
        field_columns::named(names, |name| (name == FILE).then_some(Column::File), Column::Field).map(Self)
    }

    /// Whether a name is one of theirs.
    pub(super) fn has(name: &str) -> bool {
        name == FILE || column(name).is_some()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|column| match column {
            Column::File => FILE,
            Column::Field(name, _) => name,
        })
    }

    /// Whether the values of each are numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = bool> {
        self.0.iter().map(|column| match column {
            Column::File => false,
            Column::Field(_, field) => field_columns::is_number(field),
        })
    }

    /// What each says of a flow, as text; empty where there is nothing.
    pub(super) fn cells(&self, record: &RecordView<'_>, from: &Origins, places: Option<&[Place; 2]>) -> impl Iterator<Item = String> {
        self.0.iter().map(move |column| match column {
            Column::File => from.file.clone(),
            Column::Field(_, field) => text(field, &value(field, record, from, places)),
        })
    }
}

/// Writes the columns that were asked for.
#[derive(Debug)]
pub(super) struct Chosen<W: Write> {
    out: io::BufWriter<W>,
    table: Table,
    columns: Columns,
    json: bool,
    from: Origins,
    whose: Option<Enricher>,
    fault: Option<io::Error>,
}

impl<W: Write> Chosen<W> {
    /// Comma-separated values; writes the heading.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn csv(out: W, table: Table, columns: Columns, whose: Option<Enricher>) -> io::Result<Self> {
        let mut chosen = Self::json(out, table, columns, whose);
        chosen.json = false;
        writeln!(chosen.out, "{}", chosen.columns.names().collect::<Vec<_>>().join(","))?;
        Ok(chosen)
    }

    /// One object a line.
    pub(super) fn json(out: W, table: Table, columns: Columns, whose: Option<Enricher>) -> Self {
        let out = io::BufWriter::with_capacity(256 << 10, out);
        Self { out, table, columns, json: true, from: Origins::default(), whose, fault: None }
    }

    fn line(&mut self, record: &RecordView<'_>) -> io::Result<()> {
        let places = self.whose.as_ref().and_then(|table| place::ends(record, table));
        if self.json {
            let mut object = Map::new();
            for column in &self.columns.0 {
                match column {
                    Column::File => _ = object.insert(FILE.to_owned(), self.from.file.clone().into()),
                    Column::Field(name, field) => {
                        _ = object.insert(name.clone(), json(&value(field, record, &self.from, places.as_ref())));
                    }
                }
            }
            serde_json::to_writer(&mut self.out, &object)?;
            return self.out.write_all(b"\n");
        }
        let mut line = String::new();
        for (at, cell) in self.columns.cells(record, &self.from, places.as_ref()).enumerate() {
            line.push_str(if at == 0 { "" } else { "," });
            line.push_str(&quoted(&cell));
        }
        writeln!(self.out, "{line}")
    }
}

/// What a field says of a flow.
fn value(field: &Field, record: &RecordView<'_>, from: &Origins, places: Option<&[Place; 2]>) -> Value {
    match field.row.origin {
        Origin::Lookup(end, lookup) => looked_up(places, end, lookup),
        // Addresses of a link that has none are zeros in a record.
        Origin::Record(_) if field.row.kind == Type::Mac && !from.ethernet => Value::Absent,
        Origin::Record(_) => field.read(record),
    }
}

/// What was found of an end; absent where nothing is known.
fn looked_up(places: Option<&[Place; 2]>, end: End, lookup: Lookup) -> Value {
    let Some([source, destination]) = places else { return Value::Absent };
    let place = match end {
        End::Source => source,
        End::Destination => destination,
    };
    let number = |number: u32| if number == 0 { Value::Absent } else { Value::Unsigned(number.into()) };
    let words = |text: &str| if text.is_empty() { Value::Absent } else { Value::Words(text.to_owned()) };
    match lookup {
        Lookup::AsNumber => number(place.as_number),
        Lookup::AsName => words(&place.as_name),
        Lookup::PrefixLength => number(place.prefix_length),
        Lookup::Country => words(&place.country),
        Lookup::CountryNumber => number(place.country_number),
        Lookup::City => words(&place.city),
        Lookup::Network => words(&place.network),
    }
}

/// A value as text: empty where it is absent, lists joined by "|", those of tunnels by "/".
pub(in crate::cli) fn text(field: &Field, value: &Value) -> String {
    match value {
        Value::Absent => String::new(),
        Value::Unsigned(number) => field_columns::number(field, *number),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Address(address) => address.to_string(),
        Value::Mac(address) => mac(address),
        Value::Time(ns) | Value::Duration(ns) => seconds(*ns),
        Value::Text(words) => (*words).to_owned(),
        Value::Words(words) => words.clone(),
        Value::List(items) => {
            let between = field_columns::between_items(field);
            items.iter().enumerate().fold(String::new(), |mut list, (at, item)| {
                // Writing to a String cannot fail.
                let _ = write!(list, "{}{}", if at == 0 { "" } else { between }, text(field, item));
                list
            })
        }
    }
}

/// A value for programs: null where it is absent; times of day and durations as text, because JSON's numbers lose nanoseconds.
fn json(value: &Value) -> Json {
    match value {
        Value::Absent => Json::Null,
        Value::Unsigned(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(truth) => (*truth).into(),
        Value::Address(address) => address.to_string().into(),
        Value::Mac(address) => mac(address).into(),
        Value::Time(ns) | Value::Duration(ns) => seconds(*ns).into(),
        Value::Text(words) => (*words).into(),
        Value::Words(words) => words.clone().into(),
        Value::List(items) => items.iter().map(json).collect(),
    }
}

impl<W: Write> Output for Chosen<W> {
    fn put(&mut self, record: &RecordView<'_>) {
        if self.table.takes(record)
            && self.fault.is_none()
            && let Err(error) = self.line(record)
        {
            self.fault = Some(error);
        }
    }
}

impl<W: Write> Sink for Chosen<W> {
    fn begin(&mut self, file: &str, ethernet: bool) {
        self.from.begin(file, ethernet);
    }

    fn end(&mut self) -> io::Result<()> {
        self.fault.take().map_or(Ok(()), Err)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::replay::csv::tests::tcp;
    use crate::cli::replay::csv::{Csv, FLOW_COLUMNS, L2_COLUMNS};
    use sonde_packet::{Layers, Tunnel};
    use sonde_record::{Head, Kind, NO_VLAN, NO_WSCALE, Record, View};

    fn run(sink: &mut dyn Sink, records: &[Record]) {
        sink.begin("a,b", true);
        records.iter().for_each(|record| record.put(sink));
        sink.end().expect("memory");
        sink.finish().expect("memory");
    }

    fn chosen(names: &str, json: bool, records: &[Record]) -> String {
        let columns = Columns::named(names.split(',')).expect("fields");
        let mut out = Vec::new();
        let mut sink = if json {
            Chosen::json(&mut out, Table::Flows, columns, None)
        } else {
            Chosen::csv(&mut out, Table::Flows, columns, None).expect("memory")
        };
        run(&mut sink, records);
        drop(sink);
        String::from_utf8(out).expect("text")
    }

    fn records() -> Vec<Record> {
        let head = Head { vlan_tci: [0xa064, 7], ethertype: 0x0800, fragments: 3, ..tcp() };
        let layers = Layers {
            mpls: [0x0006_4140, 0x0006_5140, 0, 0, 0, 0],
            mpls_labels: 2,
            tunnels: [4, 1, 0, 0],
            depth: 2,
            tunnel_id: Some(123),
            identified: Some(Tunnel::Vxlan),
            ..Layers::default()
        };
        let bare = Head { packets: [1, 0], vlan_tci: [NO_VLAN; 2], syn_len: 0, ..head };
        let icmp = Head { proto: 1, icmp: [3, 13], syn_len: 0, ..head };
        let six = Head { kind: Kind::Ipv6, src: [0x20; 16], dst: [0x21; 16], syn_mss: 0, syn_wscale: NO_WSCALE, ..head };
        let heads = [head, bare, icmp, six].into_iter().map(Record::new);
        let in_tunnels = [View::Inner, View::First].map(|view| Record::new(Head { view, ..head }).with(&layers));
        let instance = Record::new(head).with(&Layers { service_instance: Some(0xe000_0007), ..Layers::default() });
        heads.chain(in_tunnels).chain([instance]).collect()
    }

    #[test]
    fn all_headings_make_what_is_written_without_them() {
        let mut out = Vec::new();
        run(&mut Csv::new(&mut out, Table::Flows).expect("memory"), &records());
        assert_eq!(chosen(FLOW_COLUMNS.trim_end(), false, &records()), String::from_utf8(out).expect("text"));
    }

    #[test]
    fn so_do_those_of_flows_without_ip() {
        let records: Vec<_> =
            records().iter().map(|record| Record::new(Head { kind: Kind::Layer2, ethertype: 0x0806, ..**record })).collect();
        let columns = Columns::named(L2_COLUMNS.trim_end().split(',')).expect("fields");
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        run(&mut Csv::new(&mut plain, Table::L2).expect("memory"), &records);
        run(&mut Chosen::csv(&mut out, Table::L2, columns, None).expect("memory"), &records);
        assert_eq!(String::from_utf8(out).expect("text"), String::from_utf8(plain).expect("text"));
    }

    #[test]
    fn json_has_the_names_that_were_asked_for_and_null_for_what_is_absent() {
        let seen = chosen("file,dport,server_rtt,tunnels,start", true, &records()[..1]);
        assert_eq!(seen, "{\"file\":\"a,b\",\"dport\":443,\"server_rtt\":null,\"tunnels\":null,\"start\":\"1700000000.000000001\"}\n");
    }

    #[test]
    fn names_that_no_field_has_are_refused_together_with_the_nearest() {
        let error = Columns::named(["octets", "destnation_port", "colour_of_the_cable"]).expect_err("two are wrong").to_string();
        assert!(error.contains("destnation_port (did you mean destination_port?), colour_of_the_cable;"), "{error}");
    }
}
