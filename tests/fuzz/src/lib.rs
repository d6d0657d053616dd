//! What every byte string must survive, one function a fuzz target.
//!
//! The programs in `bin` give these functions to libFuzzer; `tests/tests/fuzz_inputs.rs`, which takes this file for a module of its
//! own, gives them the inputs of `seeds.rs` and of `../found`, and what those can be cut to, with every `cargo test`. An input that
//! once killed a target is added to `../found/TARGET/`.

mod agreement;
mod enrich;
mod flows;
mod packet;
mod perf;
mod seeds;
mod settings;
mod shared;

pub use enrich::{database, rib};
pub use flows::flows;
pub use packet::{capture, decode};
pub use perf::performance;
pub use seeds::seeds;
pub use settings::settings;
pub use shared::{ring, stats};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// The targets, by the name of their program.
pub const TARGETS: [(&str, Target); 9] = [
    ("decode", decode),
    ("capture", capture),
    ("flows", flows),
    ("performance", performance),
    ("ring", ring),
    ("stats", stats),
    ("settings", settings),
    ("database", database),
    ("rib", rib),
];

/// Input that is taken from the front, and is zero behind its end.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        let found = self.bytes(8);
        word[..found.len()].copy_from_slice(found);
        u64::from_le_bytes(word)
    }

    /// At most so many bytes.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, left) = self.0.split_at(most.min(self.0.len()));
        self.0 = left;
        taken
    }
}
