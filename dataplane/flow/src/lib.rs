//! flow: Headers -> Entry, updated; ended and timed-out entries -> Record.
#![forbid(unsafe_code)]

pub mod record;

pub use record::Record;
