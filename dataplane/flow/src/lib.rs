//! flow: Headers -> Entry, updated; ended and timed-out entries -> Record.
#![forbid(unsafe_code)]

pub mod record;
pub mod ring;

pub use record::Record;
