//! An IPFIX collector written from RFC 7011 and knowing nothing of Sonde's encoder: what it reads is what is on the wire.
//!
//! It listens on loopback, over UDP or TCP, and keeps everything it gets. What is wrong with a message is kept as a sentence in
//! [`Collected::faults`]; a test asserts that there is none.
//!
//! *Not here*: SCTP, TLS, structured data (RFC 6313).

mod message;

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use message::{Collected, Decoder, Element, Record, elements, messages, reverse};

/// How long a socket waits before it looks whether the collector was told to stop.
const PATIENCE: Duration = Duration::from_millis(20);

/// A running collector; stops when dropped.
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    collected: Mutex<Collected>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Shared {
    fn take(&self, decoder: &mut Decoder, message: &[u8]) {
        let mut collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        decoder.message(message, &mut collected);
        collected.raw.push(message.to_vec());
        drop(collected);
        self.changed.notify_all();
    }

    fn fault(&self, fault: String) {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner).faults.push(fault);
        self.changed.notify_all();
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Collector {
    /// Listens on a free UDP port of 127.0.0.1.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn udp() -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        // A burst of records must not be lost to a small buffer: the test counts them. Root gets it all, others what rmem_max allows.
        let wanted = 64 << 20;
        if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, wanted).is_err() {
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, wanted)?;
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        let address = socket.local_addr()?;
        Ok(Self::start(address, move |shared| receive_datagrams(&socket, shared)))
    }

    /// Listens on a free TCP port of 127.0.0.1; takes one connection after the other.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn tcp() -> io::Result<Self> {
        Self::tcp_at("127.0.0.1:0".parse().expect("an address"))
    }

    /// Listens on this TCP address: a collector that comes back where it was.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn tcp_at(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self::start(address, move |shared| accept_streams(&listener, shared)))
    }

    fn start(address: SocketAddr, body: impl FnOnce(&Shared) + Send + 'static) -> Self {
        let shared = Arc::new(Shared { collected: Mutex::default(), changed: Condvar::new(), stop: AtomicBool::new(false) });
        let theirs = Arc::clone(&shared);
        Self { address, shared, thread: Some(std::thread::spawn(move || body(&theirs))) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until what was collected is as wished, at most so long; says whether it is.
    pub fn wait(&self, patience: Duration, wish: impl Fn(&Collected) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let mut collected = self.shared.collected.lock().unwrap_or_else(PoisonError::into_inner);
        while !wish(&collected) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            collected = self.shared.changed.wait_timeout(collected, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Looks at what was collected so far.
    pub fn look<T>(&self, look: impl FnOnce(&Collected) -> T) -> T {
        look(&self.shared.collected.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stops, and gives what was collected: everything that had arrived when this was called.
    pub fn stop(mut self) -> Collected {
        self.join();
        std::mem::take(&mut *self.shared.collected.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn join(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread is a failure of the test that has the collector; in a drop during another panic it must not abort.
            let result = thread.join();
            assert!(result.is_ok() || std::thread::panicking(), "the collector's thread panicked");
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.join();
    }
}

fn receive_datagrams(socket: &UdpSocket, shared: &Shared) {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 65_535];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => shared.take(&mut decoder, &buffer[..length]),
            // Nothing waits in the socket: only then it may stop.
            Err(error) if is_timeout(&error) && shared.stopping() => return,
            Err(error) if is_timeout(&error) => {}
            Err(error) => return shared.fault(format!("receiving: {error}")),
        }
    }
}

fn accept_streams(listener: &TcpListener, shared: &Shared) {
    while !shared.stopping() {
        match listener.accept() {
            Ok((stream, _)) => {
                if let Err(error) = read_stream(stream, shared) {
                    shared.fault(format!("reading the connection: {error}"));
                }
            }
            Err(error) if is_timeout(&error) => std::thread::sleep(PATIENCE),
            Err(error) => return shared.fault(format!("accepting: {error}")),
        }
    }
}

/// Reads messages until the exporter closes the connection; templates live as long as it (RFC 7011 section 8.4).
fn read_stream(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut decoder = Decoder::default();
    let mut pending = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) if pending.is_empty() => return Ok(()),
            Ok(0) => return Err(io::Error::other(format!("it ended within a message, after {} octets of it", pending.len()))),
            Ok(length) => pending.extend_from_slice(&buffer[..length]),
            Err(error) if is_timeout(&error) && shared.stopping() => return Ok(()),
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
        // RFC 7011 section 10.4.3: the length in the message header is what delimits messages in a stream.
        while let Some(length) = pending.get(2..4).map(|l| usize::from(u16::from_be_bytes([l[0], l[1]]))) {
            if length < 16 {
                return Err(io::Error::other(format!("a message of {length} octets")));
            }
            if pending.len() < length {
                break;
            }
            shared.take(&mut decoder, &pending[..length]);
            pending.drain(..length);
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A template 256 of `packetDeltaCount` and one record of it.
    fn message(sequence: u8, packets: u8) -> Vec<u8> {
        let mut bytes = vec![0, 10, 0, 40, 0, 0, 0, 1, 0, 0, 0, sequence, 0, 0, 0, 5];
        bytes.extend([0, 2, 0, 12, 1, 0, 0, 1, 0, 2, 0, 8, 1, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, packets]);
        bytes
    }

    fn packets(collected: &Collected) -> u64 {
        collected.records.iter().map(|record| record.number(elements::PACKETS)).sum()
    }

    #[test]
    fn datagrams_are_collected() {
        let collector = Collector::udp().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for at in 0..3 {
            socket.send_to(&message(at, 10), collector.address()).unwrap();
        }
        assert!(collector.wait(Duration::from_secs(5), |c| c.messages == 3));
        let collected = collector.stop();
        assert_eq!((packets(&collected), collected.faults), (30, Vec::new()));
    }

    #[test]
    fn a_stream_is_cut_into_messages() {
        let collector = Collector::tcp().unwrap();
        let mut stream = TcpStream::connect(collector.address()).unwrap();
        let all = [message(0, 1), message(1, 2), message(2, 3)].concat();
        for piece in all.chunks(7) {
            stream.write_all(piece).unwrap();
        }
        drop(stream);
        assert!(collector.wait(Duration::from_secs(5), |c| c.messages == 3));
        let collected = collector.stop();
        assert_eq!((packets(&collected), collected.faults), (6, Vec::new()));
    }

    #[test]
    fn a_stream_that_breaks_off_is_a_fault() {
        let collector = Collector::tcp().unwrap();
        TcpStream::connect(collector.address()).unwrap().write_all(&message(0, 1)[..30]).unwrap();
        assert!(collector.wait(Duration::from_secs(5), |c| c.faults.iter().any(|fault| fault.contains("within a message"))));
    }
}
