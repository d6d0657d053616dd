//! packet: bytes -> Headers. No dependency, no unsafe, no allocation, no clock.
#![forbid(unsafe_code)]

mod frame;

pub use frame::{Frame, Link};
