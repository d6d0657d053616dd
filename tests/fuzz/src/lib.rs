//! What every byte string must survive, one function a fuzz target.
//!
//! The programs in `bin` give these functions to libFuzzer; `tests/tests/fuzz_inputs.rs`, which takes this file for a module of its
//! own, gives them the inputs of `seeds.rs` and of `../found`, and what those can be cut to, with every `cargo test`. An input that
//! once killed a target is added to `../found/TARGET/`.

mod agreement;
mod enrich;
mod expression;
mod flows;
mod input;
mod packet;
mod perf;
mod seeds;
mod settings;
mod shared;

pub use enrich::{database, rib};
pub use expression::expression;
pub use flows::flows;
pub use packet::{capture, decode};
pub use perf::performance;
pub use seeds::seeds;
pub use settings::settings;
pub use shared::{ring, stats};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// The targets, by the name of their program.
pub const TARGETS: [(&str, Target); 10] = [
    ("decode", decode),
    ("capture", capture),
    ("flows", flows),
    ("performance", performance),
    ("ring", ring),
    ("stats", stats),
    ("settings", settings),
    ("database", database),
    ("rib", rib),
    ("expression", expression),
];
