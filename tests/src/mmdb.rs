//! Writes databases in the MaxMind DB format (<https://maxmind.github.io/MaxMind-DB/>), small and simple.

use std::collections::HashMap;
use std::net::IpAddr;

/// A value of the data section.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// UTF-8 text.
    Text(String),
    /// 64-bit float.
    Double(f64),
    /// Octets.
    Octets(Vec<u8>),
    /// Unsigned number of 16 bits.
    U16(u16),
    /// Unsigned number of 32 bits.
    U32(u32),
    /// Signed number of 32 bits.
    I32(i32),
    /// Unsigned number of 64 bits.
    U64(u64),
    /// Unsigned number of 128 bits.
    U128(u128),
    /// Truth.
    Bool(bool),
    /// 32-bit float.
    Float(f32),
    /// Values in a row.
    Array(Vec<Data>),
    /// Values with names.
    Map(Vec<(String, Data)>),
}

impl Data {
    /// A map.
    pub fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Data)>) -> Self {
        Self::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Where a record of the tree leads.
#[derive(Clone, Copy, PartialEq)]
enum Record {
    Nothing,
    Node(usize),
    Value(usize),
}

/// A database of IPv6 addresses with the IPv4 addresses below 96 zeros, and aliases to those as published databases have them.
pub struct Writer {
    kind: String,
    record_bits: u16,
    nodes: Vec<[Record; 2]>,
    values: Vec<Data>,
}

impl Writer {
    /// An empty database of this type with records of 24, 28 or 32 bits.
    pub fn new(kind: &str, record_bits: u16) -> Self {
        assert!(matches!(record_bits, 24 | 28 | 32), "the format has no other records");
        Self { kind: kind.to_owned(), record_bits, nodes: vec![[Record::Nothing; 2]], values: Vec::new() }
    }

    /// Adds a network. A longer prefix must come after a shorter one that holds it.
    pub fn insert(&mut self, address: IpAddr, length: u8, value: Data) {
        let (bits, length) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), usize::from(length) + 96),
            IpAddr::V6(v6) => (v6.to_bits(), usize::from(length)),
        };
        let value = match self.values.iter().position(|known| *known == value) {
            Some(at) => at,
            None => {
                self.values.push(value);
                self.values.len() - 1
            }
        };
        self.set(bits, length, Record::Value(value));
    }

    fn set(&mut self, bits: u128, length: usize, record: Record) {
        let mut node = 0;
        for level in 0..length {
            let side = usize::from(bits >> (127 - level) & 1 == 1);
            if level + 1 == length {
                self.nodes[node][side] = record;
                return;
            }
            node = match self.nodes[node][side] {
                Record::Node(next) => next,
                other => {
                    // What held for all of it holds for both halves.
                    self.nodes.push([other; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Record::Node(next);
                    next
                }
            };
        }
    }

    /// Makes `::ffff:0:0/96` and `2002::/16` lead to where the IPv4 addresses are, as the published databases do.
    pub fn alias(&mut self) {
        let mut at = Record::Node(0);
        for _ in 0..96 {
            let Record::Node(node) = at else { return };
            at = self.nodes[node][0];
        }
        if let Record::Node(_) = at {
            self.set(0xffff << 32, 96, at);
            self.set(0x2002 << 112, 16, at);
        }
    }

    /// The file.
    pub fn octets(&self) -> Vec<u8> {
        let mut data = Section::default();
        let offsets: Vec<usize> = self.values.iter().map(|value| data.root(value)).collect();
        let nodes = self.nodes.len();
        let number = |record: &Record| match record {
            Record::Nothing => nodes,
            Record::Node(node) => *node,
            Record::Value(value) => nodes + 16 + offsets[*value],
        };
        let mut out = Vec::new();
        for [left, right] in &self.nodes {
            let [l, r] = [number(left), number(right)].map(|n| u32::try_from(n).expect("a small database").to_be_bytes());
            match self.record_bits {
                24 => out.extend([l[1], l[2], l[3], r[1], r[2], r[3]]),
                28 => out.extend([l[1], l[2], l[3], l[0] << 4 | r[0], r[1], r[2], r[3]]),
                _ => out.extend([l, r].concat()),
            }
        }
        out.extend([0; 16]);
        out.extend(data.octets);
        out.extend(b"\xab\xcd\xefMaxMind.com");
        let mut metadata = Section::default();
        metadata.root(&Data::map([
            ("node_count", Data::U32(u32::try_from(nodes).expect("a small database"))),
            ("record_size", Data::U16(self.record_bits)),
            ("ip_version", Data::U16(6)),
            ("database_type", Data::text(&self.kind)),
            ("languages", Data::Array(vec![Data::text("en")])),
            ("binary_format_major_version", Data::U16(2)),
            ("binary_format_minor_version", Data::U16(0)),
            ("build_epoch", Data::U64(1_700_000_000)),
            ("description", Data::map([("en", Data::text("made by a test"))])),
        ]));
        out.extend(metadata.octets);
        out
    }
}

/// Values, written one behind the other. A text that was written before is a pointer to it.
#[derive(Default)]
struct Section {
    octets: Vec<u8>,
    texts: HashMap<String, usize>,
}

impl Section {
    fn root(&mut self, value: &Data) -> usize {
        let at = self.octets.len();
        self.write(value);
        at
    }

    fn write(&mut self, value: &Data) {
        match value {
            Data::Text(text) => self.text(text),
            Data::Double(number) => self.scalar(3, &number.to_be_bytes()),
            Data::Octets(octets) => self.scalar(4, octets),
            Data::U16(number) => self.number(5, &number.to_be_bytes()),
            Data::U32(number) => self.number(6, &number.to_be_bytes()),
            Data::I32(number) => self.scalar(8, &number.to_be_bytes()),
            Data::U64(number) => self.number(9, &number.to_be_bytes()),
            Data::U128(number) => self.number(10, &number.to_be_bytes()),
            Data::Bool(truth) => self.head(14, usize::from(*truth)),
            Data::Float(number) => self.scalar(15, &number.to_be_bytes()),
            Data::Array(values) => {
                self.head(11, values.len());
                values.iter().for_each(|value| self.write(value));
            }
            Data::Map(entries) => {
                self.head(7, entries.len());
                for (name, value) in entries {
                    self.text(name);
                    self.write(value);
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(at) = self.texts.get(text) {
            return self.pointer(*at);
        }
        self.texts.insert(text.to_owned(), self.octets.len());
        self.scalar(2, text.as_bytes());
    }

    /// Without the zeros in front, as the format likes it.
    fn number(&mut self, kind: u8, octets: &[u8]) {
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        self.scalar(kind, &octets[zeros..]);
    }

    fn scalar(&mut self, kind: u8, payload: &[u8]) {
        self.head(kind, payload.len());
        self.octets.extend(payload);
    }

    fn head(&mut self, kind: u8, size: usize) {
        let (short, more) = match size {
            0..29 => (size, vec![]),
            29..285 => (29, (size - 29).to_be_bytes()[7..].to_vec()),
            285..65_821 => (30, (size - 285).to_be_bytes()[6..].to_vec()),
            _ => (31, (size - 65_821).to_be_bytes()[5..].to_vec()),
        };
        let short = u8::try_from(short).expect("at most 31");
        // Types from 8 on stand in an octet of their own.
        match kind {
            0..8 => self.octets.push(kind << 5 | short),
            _ => self.octets.extend([short, kind - 7]),
        }
        self.octets.extend(more);
    }

    fn pointer(&mut self, to: usize) {
        let (form, value, octets) = match to {
            0..2048 => (0, to, 1),
            2048..526_336 => (1, to - 2048, 2),
            526_336..134_744_064 => (2, to - 526_336, 3),
            _ => (3, to, 4),
        };
        let all = value.to_be_bytes();
        let high = if form == 3 { 0 } else { all[7 - octets] & 7 };
        self.octets.push(1 << 5 | form << 3 | high);
        self.octets.extend(&all[8 - octets..]);
    }
}
