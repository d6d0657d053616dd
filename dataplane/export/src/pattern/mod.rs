//! The pattern of a flow's packets, in the elements of CESNET's ipfixprobe (8057) and as it sends them: histograms, NetTiSA, the first
//! packets, bursts.
//!
//! An exporter announces and sends those that its probe keeps (`boot.patterns`), all of them or none: a flow without a place has none.
//! What a flow's own packets give nothing for is 0, or an empty list.

pub mod burst;
pub mod first;
pub mod histogram;
pub mod list;
pub mod nettisa;
