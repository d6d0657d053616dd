//! The contracts: `sonde/v1/*.proto`, the code generated from them, and their descriptor set.
#![forbid(unsafe_code)]

pub mod json;

/// The generated modules refer to each other by their protobuf packages, so they stand as those do.
#[expect(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::too_many_lines,
    reason = "generated; the protos carry the comments"
)]
mod sonde {
    pub mod v1 {
        tonic::include_proto!("sonde.v1");
    }
    pub mod southbound {
        pub mod v1 {
            tonic::include_proto!("sonde.southbound.v1");
        }
    }
}

/// Between control plane and dataplane, package `sonde.southbound.v1`.
pub use sonde::southbound::v1 as southbound;
/// The northbound API, package `sonde.v1`.
pub use sonde::v1;

/// Every message and service above, as a serialized `google.protobuf.FileDescriptorSet`: what reflection serves.
pub const DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("sonde");

/// Version of the southbound protocol, for both of its ends.
pub const SOUTHBOUND_VERSION: u32 = 1;
