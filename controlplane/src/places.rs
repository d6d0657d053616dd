//! Where the dataplane's shared memory is.

use crate::link::Link;
use sonde_settings::paths::Paths;
use std::path::PathBuf;

/// The dataplane's shared memory: where it says when it answers, where it always is when it does not.
#[derive(Clone)]
pub(crate) struct Places {
    paths: Paths,
    link: Link,
}

impl Places {
    /// The places of an instance.
    pub(crate) fn new(paths: Paths, link: Link) -> Self {
        Self { paths, link }
    }

    /// The stats segment.
    pub(crate) fn stats(&self) -> PathBuf {
        let told = self.link.description().map(|d| PathBuf::from(&d.stats_path)).filter(|p| !p.as_os_str().is_empty());
        told.unwrap_or_else(|| self.paths.stats())
    }

    /// The record rings, by worker.
    pub(crate) fn rings(&self) -> Vec<PathBuf> {
        match self.link.description() {
            Some(description) => description.ring_paths.iter().map(PathBuf::from).collect(),
            None => (0..).map(|worker| self.paths.ring(worker)).take_while(|path| path.exists()).collect(),
        }
    }

    /// The southbound link.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }
}
