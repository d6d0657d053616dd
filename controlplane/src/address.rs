//! Addresses of the API: host and port, or a Unix socket. Both programs read them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest path of a Unix socket, in octets: `sun_path` of unix(7) has 108, the last one for its end.
pub(crate) const SOCKET_PATH_MAX: usize = 107;

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A name or an IP address, and a port.
    Tcp {
        /// Name or IP address, IPv6 without its brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why: &str| {
            let found = sonde_settings::quote(text);
            Err(format!("{found} is no address: give host:port, for example 127.0.0.1:4950 or [::1]:4950, or unix:/path of a socket{why}"))
        };
        if let Some(path) = text.strip_prefix("unix:") {
            // unix:///path is how gRPC names it, too.
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.len() > SOCKET_PATH_MAX {
                return refused(&format!(" (the path of a socket has at most {SOCKET_PATH_MAX} octets, this one has {})", path.len()));
            }
            return if path.starts_with('/') && !path.contains('\0') { Ok(Self::Unix(path.into())) } else { refused("") };
        }
        let text = text.strip_prefix("http://").unwrap_or(text);
        let Some((host, port)) = text.rsplit_once(':') else { return refused("") };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bare {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return refused(""),
            None => host,
        };
        let named = |h: &str| !h.is_empty() && h.len() <= 253 && h.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        match port.parse() {
            Ok(port) if bare.is_some() || named(host) => Ok(Self::Tcp { host: host.to_owned(), port }),
            _ => refused(""),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Several addresses with commas between them: a client takes the first that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses(pub Vec<Address>);

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Whether a path may name a socket.
pub(crate) fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= SOCKET_PATH_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["127.0.0.1:4950", "localhost:4950", "[::1]:4950", "probe-1.example:1", "unix:/run/sonde/lab/api/api.sock"] {
            assert_eq!(text.parse::<Address>().expect("good").to_string(), text);
        }
        assert_eq!("unix:///x".parse(), Ok(Address::Unix("/x".into())));
        assert_eq!("http://127.0.0.1:1".parse::<Address>().expect("good").to_string(), "127.0.0.1:1");
        let two: Addresses = "localhost:1, unix:/x".parse().expect("good");
        assert_eq!(two.to_string(), "localhost:1,unix:/x");
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated_at_length() {
        let long = format!("unix:/{}", "x".repeat(1 << 20));
        for text in ["", "no address", "host", ":1", "host:", "host:65536", "::1:4950", "[::1]", "[x]:1", "unix:", "unix:x", &long, "a b:1"]
        {
            let said = text.parse::<Address>().expect_err(text);
            assert!(said.contains("is no address: give host:port") && said.len() < 600, "{said}");
        }
        assert!(
            format!("unix:/{}", "x".repeat(107)).parse::<Address>().expect_err("long").contains("at most 107 octets, this one has 108")
        );
        assert!(format!("unix:/{}", "x".repeat(106)).parse::<Address>().is_ok());
    }
}
