//! The data section: typed values, and pointers among them.

use std::collections::HashSet;
use std::fmt;

use crate::fault::Fault;

/// Most values of one record, not counting those behind pointers: ten times what any published database has. It bounds the work
/// of a look-up.
const PARTS_MAX: usize = 2048;
/// Values looked at for each octet of the section, at most. Values that others point into are looked at once for each level of
/// nesting; more than that is a file that is made to waste time.
const PARTS_AN_OCTET: usize = 8;
/// Octets of a float and a double.
const FLOAT: usize = 4;
const DOUBLE: usize = 8;

/// A value, as far as anybody here asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// UTF-8 text.
    Text(&'a str),
    /// Unsigned number of 16, 32 or 64 bits.
    Number(u64),
    /// Anything else.
    Other,
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Other => write!(f, "of another type"),
        }
    }
}

/// The type of a value, by its number in the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pointer,
    Text,
    Number,
    Map,
    Array,
    /// Doubles, octets, signed and 128-bit numbers, booleans, floats.
    Other,
}

/// What stands at the front of a value.
#[derive(Clone, Copy, Debug)]
struct Head {
    kind: Kind,
    /// Octets of the payload; entries of a map, elements of an array; of a pointer, where it leads.
    size: usize,
    /// Where the payload begins.
    payload: usize,
}

impl Head {
    /// Octets the payload has in this place, and how many values follow there.
    fn inside(&self) -> (usize, usize) {
        match self.kind {
            Kind::Pointer => (0, 0),
            Kind::Map => (0, self.size.saturating_mul(2)),
            Kind::Array => (0, self.size),
            Kind::Text | Kind::Number | Kind::Other => (self.size, 0),
        }
    }
}

/// Values that were checked. Pointers that lead in a circle come to an end in it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    offsets: HashSet<usize>,
    parts: usize,
}

/// A part of the file that holds values; pointers count from its start.
pub(crate) struct Section<'a>(&'a [u8]);

const fn bad(at: usize, what: &'static str) -> Fault {
    Fault::BadData { at, what }
}

impl<'a> Section<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks the value at `at`, and everything it points to, unless an earlier call with the same `seen` did.
    pub(crate) fn check(&self, at: usize, seen: &mut Seen) -> Result<(), Fault> {
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            if seen.offsets.insert(at) {
                let parts = self.check_one(at, &mut open)?;
                seen.parts = seen.parts.saturating_add(parts);
                if seen.parts > self.0.len().saturating_mul(PARTS_AN_OCTET) {
                    return Err(bad(at, "one of too many values that overlap"));
                }
            }
        }
        Ok(())
    }

    /// Checks a value without following its pointers: they go to `open`. Returns how many values it consists of.
    fn check_one(&self, at: usize, open: &mut Vec<usize>) -> Result<usize, Fault> {
        let whole = at;
        let mut at = at;
        let mut left = 1usize;
        let mut parts = 0usize;
        while left > 0 {
            parts = parts.saturating_add(1);
            if parts > PARTS_MAX {
                return Err(bad(whole, "a value of more than 2048 parts"));
            }
            let head = self.head(at)?;
            match head.kind {
                Kind::Pointer => open.push(self.led(at, head)?),
                Kind::Text => _ = self.text(head).ok_or(bad(at, "text that is not UTF-8, or goes beyond the end"))?,
                Kind::Map | Kind::Array | Kind::Number | Kind::Other => {}
            }
            let (octets, values) = head.inside();
            at = head.payload.saturating_add(octets);
            if at > self.0.len() {
                return Err(bad(head.payload, "a value that goes beyond the end"));
            }
            left = left.saturating_sub(1).saturating_add(values);
        }
        Ok(parts)
    }

    /// The value found by going down from the map at `at` by the names of its entries.
    ///
    /// Call it for values that [`Section::check`] has seen; for others it may find nothing where something is.
    pub(crate) fn find(&self, at: usize, path: &[&str]) -> Option<Value<'a>> {
        let mut at = self.resolve(at)?;
        for name in path {
            at = self.entry(at, name)?;
        }
        let head = self.head(at).ok()?;
        Some(match head.kind {
            Kind::Text => Value::Text(self.text(head)?),
            Kind::Number => Value::Number(self.number(head)?),
            Kind::Pointer | Kind::Map | Kind::Array | Kind::Other => Value::Other,
        })
    }

    /// Where the value of this name in the map at `map` stands.
    fn entry(&self, map: usize, name: &str) -> Option<usize> {
        let head = self.head(map).ok()?;
        if head.kind != Kind::Map {
            return None;
        }
        let mut at = head.payload;
        for _ in 0..head.size {
            let key = self.head(self.resolve(at)?).ok()?;
            let found = key.kind == Kind::Text && self.text(key) == Some(name);
            at = self.behind(at)?;
            if found {
                return self.resolve(at);
            }
            at = self.behind(at)?;
        }
        None
    }

    /// Where the value behind the one at `at` begins.
    fn behind(&self, at: usize) -> Option<usize> {
        let mut at = at;
        let mut left = 1usize;
        while left > 0 {
            let head = self.head(at).ok()?;
            let (octets, values) = head.inside();
            at = head.payload.saturating_add(octets);
            left = left.saturating_sub(1).saturating_add(values);
        }
        Some(at)
    }

    /// Where the value at `at` really stands.
    fn resolve(&self, at: usize) -> Option<usize> {
        let head = self.head(at).ok()?;
        if head.kind == Kind::Pointer { self.led(at, head).ok() } else { Some(at) }
    }

    /// Where a pointer leads: to a value that is none itself.
    fn led(&self, at: usize, pointer: Head) -> Result<usize, Fault> {
        if pointer.size >= self.0.len() {
            return Err(bad(at, "a pointer beyond the end"));
        }
        match self.head(pointer.size)?.kind {
            Kind::Pointer => Err(bad(at, "a pointer to a pointer")),
            _ => Ok(pointer.size),
        }
    }

    fn payload(&self, head: Head) -> Option<&'a [u8]> {
        self.0.get(head.payload..head.payload.saturating_add(head.size))
    }

    fn text(&self, head: Head) -> Option<&'a str> {
        std::str::from_utf8(self.payload(head)?).ok()
    }

    fn number(&self, head: Head) -> Option<u64> {
        Some(self.payload(head)?.iter().fold(0, |number, octet| number << 8 | u64::from(*octet)))
    }

    /// So many octets from `at` on as a number.
    fn big_endian(&self, at: usize, octets: usize) -> Result<usize, Fault> {
        let found = self.0.get(at..at.saturating_add(octets)).ok_or(bad(at, "a value that goes beyond the end"))?;
        Ok(found.iter().fold(0, |number, octet| number << 8 | usize::from(*octet)))
    }

    fn head(&self, at: usize) -> Result<Head, Fault> {
        let control = self.big_endian(at, 1)?;
        let mut payload = at.saturating_add(1);
        let mut kind = control >> 5;
        if kind == 1 {
            return self.pointer(control, payload);
        }
        if kind == 0 {
            // An extended type: its number less seven.
            kind = self.big_endian(payload, 1)?.saturating_add(7);
            payload = payload.saturating_add(1);
        }
        let (base, octets) = match control & 0x1f {
            29 => (29, 1),
            30 => (285, 2),
            31 => (65_821, 3),
            size => (size, 0),
        };
        let size = self.big_endian(payload, octets)?.saturating_add(base);
        payload = payload.saturating_add(octets);
        let within = |kind: Kind, most: usize| if size <= most { Ok(kind) } else { Err(bad(at, "a number with too many octets")) };
        let exactly = |octets: usize| if size == octets { Ok(Kind::Other) } else { Err(bad(at, "a float of the wrong length")) };
        let (kind, size) = match kind {
            2 => (Kind::Text, size),
            3 => (exactly(DOUBLE)?, size),
            4 => (Kind::Other, size),
            5 => (within(Kind::Number, 2)?, size),
            6 => (within(Kind::Number, 4)?, size),
            7 => (Kind::Map, size),
            8 => (within(Kind::Other, 4)?, size),
            9 => (within(Kind::Number, 8)?, size),
            10 => (within(Kind::Other, 16)?, size),
            11 => (Kind::Array, size),
            // The size is the value, and no octets follow.
            14 if size <= 1 => (Kind::Other, 0),
            15 => (exactly(FLOAT)?, size),
            _ => return Err(bad(at, "a value of a type that does not exist")),
        };
        Ok(Head { kind, size, payload })
    }

    fn pointer(&self, control: usize, payload: usize) -> Result<Head, Fault> {
        let (octets, base) = match control >> 3 & 3 {
            0 => (1, 0),
            1 => (2, 2048),
            2 => (3, 526_336),
            _ => (4, 0),
        };
        let low = self.big_endian(payload, octets)?;
        // With four octets the three bits of the control octet are ignored.
        let high = if octets == 4 { 0 } else { (control & 7) << (octets * 8) };
        Ok(Head { kind: Kind::Pointer, size: (high | low).saturating_add(base), payload: payload.saturating_add(octets) })
    }
}
