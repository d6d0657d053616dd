//! Packets of link types that are not read: counted, so that no packet of a capture is passed over in silence.

/// Most link types that are told apart; those beyond are counted together.
const TYPES_MAX: usize = 8;

/// How many packets were passed over, by link type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    types: Vec<(u16, u64)>,
    others: u64,
}

impl Passed {
    /// Counts a packet of this LINKTYPE number.
    #[cold]
    pub(super) fn add(&mut self, number: u16) {
        if let Some((_, packets)) = self.types.iter_mut().find(|(known, _)| *known == number) {
            *packets = packets.saturating_add(1);
        } else if self.types.len() < TYPES_MAX {
            self.types.push((number, 1));
        } else {
            self.others = self.others.saturating_add(1);
        }
    }

    /// LINKTYPE numbers and their packets, in the order in which they were met.
    pub fn types(&self) -> &[(u16, u64)] {
        &self.types
    }

    /// Packets of further link types.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// All of them.
    pub fn packets(&self) -> u64 {
        self.types.iter().fold(self.others, |sum, (_, packets)| sum.saturating_add(*packets))
    }
}
