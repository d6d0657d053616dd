//! Symmetric RSS: both directions of a conversation come by the same queue.

use crate::config::Hash;
use crate::sys;

/// Asks for the symmetric Toeplitz function on all queues of an open port. `false` leaves the port as it was, hashing by its key.
pub(crate) fn toeplitz(port: u16, queues: u16, hash: Hash) -> bool {
    let (addresses, inner) = (i32::from(hash == Hash::OuterAddresses), i32::from(hash == Hash::InnerPorts));
    // SAFETY: the call looks at nothing but its arguments; a port that is not open is refused.
    unsafe { sys::fp_flow_symmetric(port, queues, addresses, inner) == 0 }
}
