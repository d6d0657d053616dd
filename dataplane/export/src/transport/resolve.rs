//! `host:port` to addresses. An address needs nothing; a name is asked for on a thread of its own, because the resolver of the C
//! library blocks for as long as it likes.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

/// One `host:port`.
#[derive(Debug)]
pub(super) struct Resolver {
    address: String,
    pending: Option<Receiver<Result<Vec<SocketAddr>, String>>>,
    /// What a test says the name means.
    #[cfg(test)]
    known: Vec<SocketAddr>,
}

impl Resolver {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            pending: None,
            #[cfg(test)]
            known: Vec::new(),
        }
    }

    /// A name of these addresses.
    #[cfg(test)]
    pub(super) fn of(known: Vec<SocketAddr>) -> Self {
        Self { known, ..Self::new("collector.example:4739") }
    }

    /// Asks, if it has not yet, and returns the answer when it is there: addresses (at least one), or a sentence.
    pub(super) fn poll(&mut self) -> Option<Result<Vec<SocketAddr>, String>> {
        #[cfg(test)]
        if !self.known.is_empty() {
            return Some(Ok(self.known.clone()));
        }
        if let Ok(literal) = self.address.parse() {
            return Some(Ok(vec![literal]));
        }
        let Some(pending) = &self.pending else {
            return self.ask().err().map(Err);
        };
        let answer = match pending.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(sentence(&self.address, "the resolver ended without an answer")),
        };
        self.pending = None;
        Some(answer)
    }

    fn ask(&mut self) -> Result<(), String> {
        let (answer, pending) = channel();
        let address = self.address.clone();
        let work = move || {
            let found = match address.to_socket_addrs().map(Iterator::collect::<Vec<_>>) {
                Ok(found) if found.is_empty() => Err(sentence(&address, "it has no address")),
                Ok(found) => Ok(found),
                Err(error) => Err(sentence(&address, &error.to_string())),
            };
            // Nobody waits any more when the exporter was stopped.
            let _ = answer.send(found);
        };
        let spawned = thread::Builder::new().name("resolve".into()).spawn(work);
        spawned.map_err(|error| sentence(&self.address, &error.to_string()))?;
        self.pending = Some(pending);
        Ok(())
    }
}

fn sentence(address: &str, why: &str) -> String {
    format!("collector \"{address}\" could not be resolved ({why}); check the name and DNS, or give an address instead")
}
