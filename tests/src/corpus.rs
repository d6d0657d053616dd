//! Where the reference corpus is: captures and answers that are not part of the project.

use std::path::{Path, PathBuf};

/// The folder of the corpus, in `$SONDE_CORPUS` or beside the project in `../shared/corpus`, if all of `needed` is in it.
///
/// Without it the test has to pass; this says loudly that `what` was not tested.
pub fn corpus(needed: &[&str], what: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let path = std::env::var_os("SONDE_CORPUS").map_or_else(beside, PathBuf::from);
    let there = needed.iter().all(|part| path.join(part).exists());
    if !there {
        eprintln!("\n*** SKIPPED: no corpus at {} (set SONDE_CORPUS); {what} NOT tested ***\n", path.display());
    }
    there.then_some(path)
}
