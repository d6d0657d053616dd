//! What can be wrong with a file, and what a load says of it.

use std::path::{Path, PathBuf};

/// What is wrong with the bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The system's word.
    #[error("cannot read it: {0}")]
    Unreadable(String),
    /// A symbolic link where only what stands in the folder itself is read.
    #[error("it is a symbolic link, and only files that stand in trust.databases_folder themselves are read")]
    Link,
    /// A folder, a pipe, a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// More octets than any such file has.
    #[error("it has more than {limit} octets{}", if *.unpacked { " when unpacked" } else { "" })]
    TooLong {
        /// The most there may be.
        limit: u64,
        /// Whether the octets came out of a decoder.
        unpacked: bool,
    },
    /// Compressed data that cannot be unpacked.
    #[error("its compressed data are damaged behind {octets} unpacked octets: {what}")]
    Damaged {
        /// Octets that could be unpacked.
        octets: u64,
        /// The decompressor's word.
        what: String,
    },
    /// A database in the MaxMind format must end with its metadata.
    #[error("it has no MaxMind DB metadata in its last 128 KiB")]
    NoMetadata,
    /// A field of the metadata is missing, or has a value the format does not have.
    #[error("its metadata field {field} is {found}, not {rule}")]
    Metadata {
        /// Name of the field.
        field: &'static str,
        /// What it may be.
        rule: &'static str,
        /// What it is.
        found: String,
    },
    /// The search tree that the metadata announce does not fit.
    #[error("its metadata announce a search tree of {nodes} nodes, {octets} octets, and only {room} octets are there")]
    TreeTooLong {
        /// Nodes of the tree.
        nodes: u64,
        /// Octets they would have.
        octets: u64,
        /// Octets before the data section.
        room: u64,
    },
    /// A node is reached twice: the tree is no tree, and a search might not end.
    #[error("node {node} of its search tree is reached by two ways")]
    NotATree {
        /// The node.
        node: u32,
    },
    /// The tree has more levels than addresses have bits.
    #[error("its search tree goes on below node {node}, where an address has no more bits")]
    TooDeep {
        /// The node.
        node: u32,
    },
    /// A record of the tree leads nowhere.
    #[error("a record of node {node} of its search tree points to {target}, which is neither a node nor in the data section")]
    BadRecord {
        /// The node.
        node: u32,
        /// Where the record points.
        target: u32,
    },
    /// A value of the data section breaks the format.
    #[error("octet {at} of its data section: {what}")]
    BadData {
        /// Offset in the data section.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// The file ends within a record.
    #[error("it ends within the MRT record that begins at octet {at}")]
    Cut {
        /// Offset of the record's header in the unpacked file.
        at: u64,
    },
    /// A record breaks RFC 6396.
    #[error("the MRT record at octet {at}: {what}")]
    BadMrt {
        /// Offset of the record's header in the unpacked file.
        at: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It is good, and has nothing of what it was given for.
    #[error("it holds no {wanted}; it is {found}")]
    Nothing {
        /// What was looked for.
        wanted: &'static str,
        /// What the file says it is.
        found: String,
    },
    /// A prefix of the operator's own.
    #[error("{0}")]
    Prefix(String),
}

/// One fault of the sources: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {}: {fault}. {remedy}", path.display())]
pub struct Violation {
    /// What the file was given for: "ASN database".
    pub what: &'static str,
    /// The file; for an own prefix, its text.
    pub path: PathBuf,
    /// What is wrong.
    pub fault: Fault,
    /// What to do.
    pub remedy: &'static str,
}

impl Violation {
    pub(crate) fn new(what: &'static str, path: &Path, fault: Fault) -> Self {
        let remedy = match fault {
            Fault::Unreadable(_) | Fault::NotAFile => {
                "Check the path and the permissions: both processes read it, and the control plane that root starts is user sonde."
            }
            Fault::Link => "Put the file itself there, or name it by its whole path in the profile.",
            Fault::Nothing { .. } => "Give the file of the kind that the setting asks for.",
            Fault::Prefix(_) => "Correct the prefix.",
            _ => "Get the file again from where it is published.",
        };
        Self { what, path: path.to_owned(), fault, remedy }
    }
}
