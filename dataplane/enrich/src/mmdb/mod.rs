//! Databases in the MaxMind DB format, version 2: <https://maxmind.github.io/MaxMind-DB/>.
//!
//! The file is not trusted. Opening it proves that the tree fits, walking it visits each node at most once, and every value that a
//! network leads to is looked at once before it is used; so the work is bounded by the length of the file.
//!
//! Not here: searching single addresses. A load walks the whole tree, because lookups are answered from a table of all sources.

mod data;

pub(crate) use data::{Section, Seen, Value};

use crate::fault::Fault;
use crate::ranges::{Address, NONE, Ranges};

/// What stands before the metadata, at the end of the file.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The metadata are in the last so many octets.
const METADATA_OCTETS_MAX: usize = 128 << 10;
/// Octets of zero between tree and data.
const SEPARATOR: u32 = 16;

/// A database whose metadata are good.
pub(crate) struct Database<'a> {
    tree: &'a [u8],
    data: Section<'a>,
    nodes: u32,
    record_bits: u8,
    ipv6: bool,
    /// What it says it is: "GeoLite2-ASN".
    pub(crate) kind: &'a str,
}

/// Where a record leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Node(u32),
    Nothing,
    /// Offset in the data section.
    Data(u32),
}

/// A tree whose every node was visited at most once.
struct Visited(Vec<u64>);

impl Visited {
    fn new(nodes: u32) -> Self {
        Self(vec![0; (nodes as usize).div_ceil(64)])
    }

    fn visit(&mut self, node: u32) -> Result<(), Fault> {
        let bit = 1u64 << (node % 64);
        match self.0.get_mut(node as usize / 64) {
            Some(word) if *word & bit == 0 => *word |= bit,
            _ => return Err(Fault::NotATree { node }),
        }
        Ok(())
    }
}

impl<'a> Database<'a> {
    /// Reads the metadata, and checks that the file is as long as they say.
    pub(crate) fn open(octets: &'a [u8]) -> Result<Self, Fault> {
        let tail = octets.len().saturating_sub(METADATA_OCTETS_MAX);
        let found = octets.get(tail..).unwrap_or_default().windows(MARKER.len()).rposition(|window| window == MARKER);
        let marker = tail.saturating_add(found.ok_or(Fault::NoMetadata)?);
        let (before, behind) = octets.split_at_checked(marker).ok_or(Fault::NoMetadata)?;
        let metadata = Section::new(behind.get(MARKER.len()..).unwrap_or_default());
        metadata.check(0, &mut Seen::default())?;
        let number = |field: &'static str, rule: &'static str, good: fn(u64) -> bool| match metadata.find(0, &[field]) {
            Some(Value::Number(number)) if good(number) => Ok(number),
            found => Err(Fault::Metadata { field, rule, found: found.map_or_else(|| "missing".into(), |found| found.to_string()) }),
        };
        number("binary_format_major_version", "2", |version| version == 2)?;
        let record_bits = number("record_size", "24, 28 or 32", |bits| matches!(bits, 24 | 28 | 32))?;
        let version = number("ip_version", "4 or 6", |version| matches!(version, 4 | 6))?;
        let nodes = number("node_count", "1 to 4294967040", |nodes| (1..=0xffff_ff00).contains(&nodes))?;
        // Two records a node; the product is below 2^35.
        let tree_octets = nodes.saturating_mul(record_bits) / 4;
        let too_long = Fault::TreeTooLong { nodes, octets: tree_octets, room: before.len() as u64 };
        let split = usize::try_from(tree_octets).ok().and_then(|at| before.split_at_checked(at));
        let Some((tree, data)) = split else { return Err(too_long) };
        let Some(data) = data.get(SEPARATOR as usize..) else { return Err(too_long) };
        let kind = match metadata.find(0, &["database_type"]) {
            Some(Value::Text(kind)) => kind,
            _ => "",
        };
        // The ranges were checked above.
        let (nodes, record_bits) = (u32::try_from(nodes).unwrap_or(0), u8::try_from(record_bits).unwrap_or(32));
        Ok(Self { tree, data: Section::new(data), nodes, record_bits, ipv6: version == 6, kind })
    }

    /// The values networks lead to.
    pub(crate) fn data(&self) -> &Section<'a> {
        &self.data
    }

    /// Every network of the database with the number that `value` gives for its offset in the data section.
    ///
    /// IPv4 networks are the part of an IPv6 tree below 96 zeros. Trees lead there from `::ffff:0:0/96`, `2001::/32` and `2002::/16`,
    /// too; those ways are not taken.
    pub(crate) fn networks(&self, mut value: impl FnMut(u32) -> Result<u32, Fault>) -> Result<(Ranges<u32>, Ranges<u128>), Fault> {
        let (mut ipv4, mut ipv6) = (Ranges::default(), Ranges::default());
        let mut visited = Visited::new(self.nodes);
        let root = self.ipv4_root()?;
        self.walk(root, None, &mut visited, &mut ipv4, &mut value)?;
        if self.ipv6 {
            let skip = if let Target::Node(node) = root { Some(node) } else { None };
            self.walk(Target::Node(0), skip, &mut visited, &mut ipv6, &mut value)?;
        }
        Ok((ipv4, ipv6))
    }

    /// Where the IPv4 addresses begin.
    fn ipv4_root(&self) -> Result<Target, Fault> {
        let mut at = Target::Node(0);
        for _ in 0..if self.ipv6 { 96 } else { 0 } {
            let Target::Node(node) = at else { break };
            at = self.target(node, false)?;
        }
        // Zeros that lead back to the top would make all of the tree IPv4, and nothing of it IPv6.
        if self.ipv6 && at == Target::Node(0) { Err(Fault::NotATree { node: 0 }) } else { Ok(at) }
    }

    /// Goes through what is below `root`, in the order of addresses.
    fn walk<A: Bits>(
        &self,
        root: Target,
        skip: Option<u32>,
        visited: &mut Visited,
        out: &mut Ranges<A>,
        value: &mut impl FnMut(u32) -> Result<u32, Fault>,
    ) -> Result<(), Fault> {
        // At most one entry a level, and the one that is being looked at.
        let mut open = vec![(root, A::ZERO, 0u8)];
        while let Some((target, start, length)) = open.pop() {
            match target {
                Target::Nothing => out.push(start, length, NONE),
                Target::Data(offset) => out.push(start, length, value(offset)?),
                Target::Node(node) if Some(node) == skip => out.push(start, length, NONE),
                Target::Node(node) => {
                    visited.visit(node)?;
                    if length >= A::BITS {
                        return Err(Fault::TooDeep { node });
                    }
                    let below = length.saturating_add(1);
                    open.push((self.target(node, true)?, start.with_bit(length), below));
                    open.push((self.target(node, false)?, start, below));
                }
            }
        }
        Ok(())
    }

    /// The left record of a node, or its right one.
    fn target(&self, node: u32, right: bool) -> Result<Target, Fault> {
        let octets = usize::from(self.record_bits) / 4;
        let at = (node as usize).saturating_mul(octets);
        let node_octets = self.tree.get(at..at.saturating_add(octets)).unwrap_or_default();
        let target = match (node_octets, right) {
            (&[a, b, c, _, _, _], false) | (&[_, _, _, a, b, c], true) => u32::from_be_bytes([0, a, b, c]),
            // The middle octet has the upper four bits of both records.
            (&[a, b, c, middle, _, _, _], false) => u32::from_be_bytes([middle >> 4, a, b, c]),
            (&[_, _, _, middle, a, b, c], true) => u32::from_be_bytes([middle & 0xf, a, b, c]),
            (&[a, b, c, d, _, _, _, _], false) | (&[_, _, _, _, a, b, c, d], true) => u32::from_be_bytes([a, b, c, d]),
            _ => return Err(Fault::BadRecord { node, target: u32::MAX }),
        };
        match target.checked_sub(self.nodes) {
            None => Ok(Target::Node(target)),
            Some(0) => Ok(Target::Nothing),
            Some(behind) => {
                let offset = behind.checked_sub(SEPARATOR).filter(|offset| (*offset as usize) < self.data.len());
                offset.map(Target::Data).ok_or(Fault::BadRecord { node, target })
            }
        }
    }
}

/// An address that grows bit by bit.
trait Bits: Address {
    /// The address with bit `at`, counted from the front, set.
    fn with_bit(self, at: u8) -> Self;
}

impl Bits for u32 {
    fn with_bit(self, at: u8) -> Self {
        self | (1u32 << 31).checked_shr(at.into()).unwrap_or(0)
    }
}

impl Bits for u128 {
    fn with_bit(self, at: u8) -> Self {
        self | (1u128 << 127).checked_shr(at.into()).unwrap_or(0)
    }
}
