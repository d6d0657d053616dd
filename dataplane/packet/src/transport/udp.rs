//! UDP (RFC 768). Its ports are read by [`crate::transport::ports`].

/// Octets of the header: ports, length, checksum.
pub(crate) const OCTETS: usize = 8;
