//! What only an ioctl says of a socket.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Octets of a TCP connection that were handed to the kernel and that the other side has not acknowledged; also of one that was reset.
/// `None` when the kernel does not say.
pub fn unacknowledged(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut octets: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which is TIOCOUTQ (tcp(7)), writes one int, and `octets` is one that lives as long as the call. The descriptor is
    // open, because it is borrowed.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut octets) };
    if done == 0 { u32::try_from(octets).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_nobody_has_acknowledged_is_known_and_also_that_all_is() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        assert_eq!(unacknowledged(stream.as_fd()), Some(0));
        stream.set_nonblocking(true).expect("a socket");
        let mut written = 0;
        while let Ok(octets) = stream.write(&[0; 65_536]) {
            written += octets;
        }
        let left = unacknowledged(stream.as_fd()).expect("Linux says it") as usize;
        assert!(left > 0 && left < written, "{left} of {written}: nobody reads, but the other side's buffer is full");
        let file = std::fs::File::open("/dev/null").expect("it is there");
        assert_eq!(unacknowledged(file.as_fd()), None);
    }
}
