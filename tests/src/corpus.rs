//! Where the reference corpus is: captures and answers that are not part of the project.

use std::path::{Path, PathBuf};

use crate::skip::{Need, skip};

/// The folder of the corpus, in `$SONDE_CORPUS` or beside the project in `../shared/corpus`, if all of `needed` is in it.
///
/// Without it `what` is not tested, as [`skip`] says.
pub fn corpus(needed: &[&str], what: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let path = std::env::var_os("SONDE_CORPUS").map_or_else(beside, PathBuf::from);
    let there = needed.iter().all(|part| path.join(part).exists());
    if !there {
        skip(Need::Corpus, &format!("{what}: no corpus at {}", path.display()));
    }
    there.then_some(path)
}
