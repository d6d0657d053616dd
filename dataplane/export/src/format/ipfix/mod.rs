//! IPFIX (RFC 7011).
//!
//! Not here: RFC 5610's type information records of an enterprise of the operator's own; they will be options beside
//! [`announce::options`].

pub mod announce;
pub(crate) mod batch;
pub mod elements;
pub mod encoder;
pub mod field;
pub mod header;
pub(crate) mod list;
