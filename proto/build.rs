//! Generates the Rust side of the contracts, and the descriptor set that gRPC reflection serves.

use std::path::PathBuf;

fn main() {
    let protos: Vec<PathBuf> =
        ["config", "status", "flows", "exporters", "southbound"].iter().map(|n| PathBuf::from(format!("sonde/v1/{n}.proto"))).collect();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // The settings message is the operator's TOML and JSON document: one truth, two spellings.
    let mut builder = tonic_prost_build::configure().file_descriptor_set_path(out.join("sonde.bin"));
    for message in ["Settings", "Boot", "Eal", "Port", "Cores", "Table", "Records", "Live", "Timeouts", "Exporter"] {
        builder = builder.type_attribute(
            format!("sonde.v1.{message}"),
            "#[derive(serde::Serialize, serde::Deserialize)]\n#[serde(default)]",
        );
    }
    if let Err(e) = builder.compile_protos(&protos, &[PathBuf::from(".")]) {
        eprintln!("cannot compile the protos: {e}\nprotoc is needed: apt-get install protobuf-compiler libprotobuf-dev");
        std::process::exit(1);
    }
}
