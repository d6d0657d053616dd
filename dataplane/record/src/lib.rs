//! record: what leaves of a flow, and how it reaches its readers.
//!
//! A record is a fixed [`head`](Head) and typed [facts](fact), written as words straight into the [record ring](ring). A reader gets a
//! [`RecordView`] over the words, validated once, which reads what is asked for. Offsets only, no pointer; a reader trusts nothing.
//!
//! Not here: how facts are measured (`sonde-flow`), and how they are shown or sent.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::expect_used))]

pub mod catalogue;
pub mod fact;
pub mod field;
mod head;
mod head_fields;
mod lookup_fields;
mod output;
mod record;
pub mod ring;
pub mod text;
mod validate;
mod view;
mod word;

pub use head::{EndReason, HEAD_WORDS, Head, Initiator, Kind, NO_ICMP, NO_VLAN, NO_WSCALE, VERSION, View, WORDS_MAX, lone_syn, vlan_id};
pub use output::Output;
pub use record::Record;
pub use view::RecordView;
