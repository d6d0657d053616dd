//! Generates the Rust side of the contracts, and the descriptor set that gRPC reflection serves.

use std::path::PathBuf;

/// The settings: the operator's TOML and JSON document as well as a message. One truth, two spellings.
const DOCUMENT: &[&str] = &[
    "Settings",
    "Boot",
    "Eal",
    "Port",
    "Cores",
    "Table",
    "Patterns",
    "Annex",
    "Records",
    "Live",
    "Timeouts",
    "Tunnels",
    "TunnelPorts",
    "Exporter",
    "Enrichment",
    "OwnPrefix",
    "Trust",
];

/// What answers an operator: the command line prints these as JSON under the names of the protos.
const ANSWERS: &[&str] = &[
    "Violation",
    "Generation",
    "UnreadableGeneration",
    "GetConfigResponse",
    "ValidateConfigResponse",
    "ApplyConfigResponse",
    "HistoryResponse",
    "WatchStatusResponse",
    "Status",
    "ApiStatus",
    "Balance",
    "Reason",
    "WorkerStatus",
    "PortStatus",
    "ExporterStatus",
    "Flow",
    "Place",
    "FlowLayers",
    "TcpPerformance",
    "TcpDirection",
    "UdpPerformance",
    "QuicPerformance",
    "SpinTimes",
    "Histograms",
    "FirstPacket",
    "Burst",
    "NetTisa",
    "TailResponse",
    "TopResponse",
    "TopEntry",
    "ListExportersResponse",
    "ExporterChange",
    "ExporterStatsResponse",
];

/// Fields that JSON spells otherwise than Rust holds them, with the function of this crate that writes them.
const SPELLINGS: &[(&str, &str)] = &[
    ("sonde.v1.Generation.applied_at", "crate::json::time"),
    ("sonde.v1.Status.time", "crate::json::time"),
    ("sonde.v1.Status.started_at", "crate::json::time"),
    ("sonde.v1.Status.state", "crate::json::state"),
    ("sonde.v1.Flow.start", "crate::json::time"),
    ("sonde.v1.Flow.end", "crate::json::time"),
    ("sonde.v1.Flow.kind", "crate::json::named_kind"),
    ("sonde.v1.Flow.end_reason", "crate::json::named_end_reason"),
    ("sonde.v1.Flow.biflow_direction", "crate::json::named_biflow_direction"),
];

fn main() {
    let protos: Vec<PathBuf> =
        ["config", "status", "flows", "exporters", "southbound"].iter().map(|n| PathBuf::from(format!("sonde/v1/{n}.proto"))).collect();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // Ordered maps: counters are printed in the same order every time.
    let mut builder = tonic_prost_build::configure().file_descriptor_set_path(out.join("sonde.bin")).btree_map(".");
    for message in DOCUMENT {
        builder =
            builder.type_attribute(format!("sonde.v1.{message}"), "#[derive(serde::Serialize, serde::Deserialize)]\n#[serde(default)]");
    }
    for message in ANSWERS {
        builder = builder.type_attribute(format!("sonde.v1.{message}"), "#[derive(serde::Serialize)]");
    }
    for (field, function) in SPELLINGS {
        builder = builder.field_attribute(field, format!("#[serde(serialize_with = \"{function}\")]"));
    }
    if let Err(e) = builder.compile_protos(&protos, &[PathBuf::from(".")]) {
        eprintln!("cannot compile the protos: {e}\nprotoc is needed: apt-get install protobuf-compiler libprotobuf-dev");
        std::process::exit(1);
    }
}
