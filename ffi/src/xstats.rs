//! The extended statistics of a port: whatever its driver counts, by the driver's names.

use std::sync::Arc;

use crate::cstr::text;
use crate::error::{PortError, check};
use crate::open_port::OpenPort;
use crate::sys;

/// Reads a port's extended statistics. The names are asked once; reading the values allocates nothing.
#[derive(Debug)]
pub struct Xstats {
    port: Arc<OpenPort>,
    names: Vec<String>,
    values: Vec<u64>,
    count: u32,
}

impl Xstats {
    pub(crate) fn of(port: Arc<OpenPort>) -> Result<Self, PortError> {
        let silent = |source| PortError::Silent { port: port.device().to_owned(), source };
        // SAFETY: the port is open while `port` is held.
        let count = check("rte_eth_xstats_get_names", unsafe { sys::fp_xstats_count(port.number()) }).map_err(silent)?;
        let mut names = vec![[0; sys::FP_NAME_MAX as usize]; count as usize];
        // SAFETY: as above, and `names` has room for `count` names of the size that shim.c asserts.
        let code = unsafe { sys::fp_xstats_names(port.number(), names.as_mut_ptr(), count) };
        let found = check("rte_eth_xstats_get_names", code).map_err(silent)?.min(count);
        names.truncate(found as usize); // The driver may know fewer by now.
        let names: Vec<String> = names.iter().map(|name| text(name)).collect();
        let values = vec![0; names.len()];
        Ok(Self { port, names, values, count: found })
    }

    /// The names, in the order of the values.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The values as they are now, in the order of the names.
    ///
    /// # Errors
    /// When the driver refuses to be asked.
    pub fn read(&mut self) -> Result<&[u64], PortError> {
        let count = self.count;
        // SAFETY: the port is open while `self.port` is held, and `values` has room for `count`.
        let code = unsafe { sys::fp_xstats_values(self.port.number(), self.values.as_mut_ptr(), count) };
        check("rte_eth_xstats_get_by_id", code).map_err(|source| PortError::Silent { port: self.port.device().to_owned(), source })?;
        Ok(&self.values)
    }
}
