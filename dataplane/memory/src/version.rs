//! What is said of shared memory that another version of the program wrote.

/// The program that wrote it: `program` is its version, empty where it is not known.
pub fn writer(program: &str, pid: u32) -> String {
    let version = if program.is_empty() { String::new() } else { format!(" version {program}") };
    format!("sonde-dataplane{version}, process {pid}")
}

/// Which side is older and what to do, where the writer's format is `found` and the reader's is `read`.
pub fn older(found: u64, read: u64) -> &'static str {
    if found < read {
        "the dataplane is older: restart it in this version"
    } else {
        "this program is older: install the version of the dataplane and start it again"
    }
}
