//! Tests that a machine cannot run: which of them say so, and which fail.
//!
//! A test that needs something asks for it, and calls [`skip`] where it is missing. By itself that is told and the test passes; where
//! `$SONDE_REQUIRE` names the need, the test fails. `SONDE_REQUIRE=all` names every need; `all,-corpus` all but one; `root,tshark` two.

use std::fmt;
use std::io::Write;

/// What a test may need that a machine may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The reference corpus: captures and answers that are not part of the project.
    Corpus,
    /// The user root.
    Root,
    /// Network and mount namespaces (iproute2, util-linux, and the capability CAP_SYS_ADMIN).
    Namespaces,
    /// The user root, and the user that root's control plane becomes.
    ServiceUser,
    /// At least two cores.
    TwoCores,
    /// Huge pages, which the test reserves and gives back.
    HugePages,
    /// tshark.
    Tshark,
    /// nfcapd and nfdump.
    Nfdump,
    /// gRPC for Python.
    PythonGrpc,
}

/// Each need, its name in `$SONDE_REQUIRE`, and what to do where it is missing.
const NEEDS: [(Need, &str, &str); 9] = [
    (Need::Corpus, "corpus", "set SONDE_CORPUS to its folder"),
    (Need::Root, "root", "run the tests as root"),
    (Need::Namespaces, "namespaces", "install iproute2, and run the tests as root with CAP_SYS_ADMIN"),
    (Need::ServiceUser, "service-user", "`make deps` as root makes the user sonde"),
    (Need::TwoCores, "two-cores", "use a machine with two cores"),
    (Need::HugePages, "huge-pages", "run the tests as root, where memory is free"),
    (Need::Tshark, "tshark", "`make deps test` installs it"),
    (Need::Nfdump, "nfdump", "`make deps test` installs it"),
    (Need::PythonGrpc, "python-grpc", "pip install grpcio grpcio-reflection grpcio-tools, or set SONDE_PYTHON"),
];

impl Need {
    fn row(self) -> (&'static str, &'static str) {
        NEEDS.iter().find(|(need, ..)| *need == self).map(|(_, name, remedy)| (*name, *remedy)).expect("every need has a row")
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().0)
    }
}

/// Says that `what` is not tested, because `need` is missing. The caller returns then.
///
/// # Panics
/// When `$SONDE_REQUIRE` requires it, or names something that is no need.
pub fn skip(need: Need, what: &str) {
    let required = std::env::var("SONDE_REQUIRE").unwrap_or_default();
    let (name, remedy) = need.row();
    match requires(&required, need) {
        Ok(false) => {
            // Past the test harness, which shows what a test that passes has printed to nobody.
            let note = format!("\n*** SKIPPED: {what}: NOT tested, because {name} is missing ({remedy}) ***\n\n");
            std::io::stderr().write_all(note.as_bytes()).expect("standard error takes a line");
        }
        Ok(true) => panic!("{what}: not tested, because {name} is missing ({remedy}), and SONDE_REQUIRE={required} requires it"),
        Err(fault) => panic!("{fault}"),
    }
}

/// Whether this process may do what only root may. Where not, `what` is skipped.
///
/// # Panics
/// As [`skip`].
pub fn root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(Need::Root, what);
    }
    root
}

/// Whether a value of `$SONDE_REQUIRE` requires `need`. A name behind takes back what one before has said.
fn requires(required: &str, need: Need) -> Result<bool, String> {
    let mut requires = false;
    for word in required.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (name, yes) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
        if name != "all" && !NEEDS.iter().any(|(_, known, _)| *known == name) {
            let names: Vec<&str> = NEEDS.iter().map(|(_, name, _)| *name).collect();
            return Err(format!(
                "SONDE_REQUIRE: \"{word}\" is no need; write \"all\", or any of {}, with \"-\" for an exception",
                names.join(", ")
            ));
        }
        if name == "all" || name == need.row().0 {
            requires = yes;
        }
    }
    Ok(requires)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_is_required() {
        for (list, corpus, root) in [
            ("", false, false),
            ("all", true, true),
            ("all,-corpus", false, true),
            ("all, -corpus , corpus", true, true),
            ("-corpus,root", false, true),
            ("tshark", false, false),
        ] {
            assert_eq!((requires(list, Need::Corpus), requires(list, Need::Root)), (Ok(corpus), Ok(root)), "{list}");
        }
        for wrong in ["al", "all,-corpse", "root;tshark"] {
            let fault = requires(wrong, Need::Root).expect_err("it names nothing");
            assert!(fault.contains("corpus, root, namespaces, service-user"), "{fault}");
        }
    }

    #[test]
    fn each_need_has_one_row() {
        for (at, (need, name, remedy)) in NEEDS.iter().enumerate() {
            assert_eq!((*need as usize, need.to_string().as_str()), (at, *name));
            assert!(!remedy.is_empty());
        }
    }
}
