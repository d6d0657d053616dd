//! export: records -> messages of a format -> collectors.
//!
//! Read in this order: [`session`] is the thread of one exporter: it knows a [`format`](mod@format) and a [`transport`], not which. [`template`] is
//! what records of a kind with a set of facts have, of which [`selection`] says what goes out. [`format::ipfix`] encodes them, with one
//! straight-line encoder for each [`fact`].
//!
//! Not here: `NetFlow` 5 and 9, SCTP, TLS and DTLS, uniflow profiles, template withdrawal (templates never change).
#![forbid(unsafe_code)]

mod cursor;
pub mod fact;
pub mod format;
pub mod selection;
pub mod session;
pub mod template;
pub mod transport;

pub use fact::{Facts, KINDS};
pub use format::ipfix::elements;
pub use format::ipfix::encoder::{Encoder, Options};
pub use selection::Fields;
pub use session::{COUNTERS, Config, Protocol, TEXTS, Timing, run};
pub use transport::file::FileWriter;

pub use sonde_record::field::DOCUMENTATION_PEN;

/// Enterprises whose elements are sent, so that none of them can be the operator's own.
pub const TAKEN: [u32; 4] = {
    use format::ipfix::elements::{CESNET_PEN, FLOWMON_PEN, NTOP_PEN, REVERSE_PEN};
    [CESNET_PEN, REVERSE_PEN, NTOP_PEN, FLOWMON_PEN]
};
