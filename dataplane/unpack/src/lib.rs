//! Compressed input, recognised by its first octets and read as a stream in bounded memory.
//!
//! The formats: gzip (RFC 1952), bzip2, Zstandard (RFC 8878), xz, LZ4 frames. Several compressed streams one behind the other are read
//! as one, as the formats' own tools do. Names of files say nothing.
//!
//! Not here: archives (tar, zip), and LZMA files of the time before xz, which have no magic number.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Cursor, Read};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use lz4_flex::frame::FrameDecoder;

/// Octets read at a time.
const BUFFER: usize = 1 << 16;
/// Most memory that an xz decoder may take, in bytes: `xz -9` needs 65 MiB. A file that asks for more is an error.
const XZ_MEMORY_MAX: u64 = 256 << 20;
/// Largest window of a Zstandard stream, as a power of two: 128 MiB, what `zstd` itself accepts without `--long`.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Octets that tell the formats apart.
const MAGIC: usize = 6;

/// How octets were compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all, or in a way that is not known here.
    Plain,
    /// gzip, RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// Zstandard, RFC 8878.
    Zstd,
    /// xz.
    Xz,
    /// LZ4 frame format.
    Lz4,
}

impl Packing {
    /// What begins so.
    pub fn of(octets: &[u8]) -> Self {
        match octets {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            // A skippable frame (RFC 8878 section 3.1.2, and the LZ4 frame format) may come first: `pzstd` writes one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            _ => Self::Plain,
        }
    }
}

/// The octets of `packed`, unpacked if they are compressed.
///
/// # Errors
/// When the first octets cannot be read, or a decoder cannot be made. Damage further on is an error of the reader that is returned.
pub fn unpacked<'a>(mut packed: impl Read + Send + 'a) -> io::Result<(Packing, Box<dyn Read + Send + 'a>)> {
    let mut magic = Vec::with_capacity(MAGIC);
    packed.by_ref().take(MAGIC as u64).read_to_end(&mut magic)?;
    let packing = Packing::of(&magic);
    let all = BufReader::with_capacity(BUFFER, Cursor::new(magic).chain(packed));
    let plain: Box<dyn Read + Send + 'a> = match packing {
        Packing::Plain => return Ok((packing, Box::new(all))),
        Packing::Gzip => Box::new(MultiGzDecoder::new(all)),
        Packing::Bzip2 => Box::new(MultiBzDecoder::new(all)),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(all)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
        Packing::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY_MAX, CONCATENATED).map_err(io::Error::from)?;
            Box::new(XzDecoder::new_stream(all, stream))
        }
        Packing::Lz4 => Box::new(Lz4::new(all)),
    };
    Ok((packing, Box::new(BufReader::with_capacity(BUFFER, plain))))
}

/// LZ4 frames one behind the other.
///
/// The decoder says "end" after each frame, and says the same where its input ends inside a frame. The two differ in whether it has met
/// the end of its input.
struct Lz4<R: Read> {
    frames: FrameDecoder<Watched<BufReader<R>>>,
    done: bool,
}

impl<R: Read> Lz4<R> {
    fn new(packed: R) -> Self {
        let packed = Watched { inner: BufReader::with_capacity(BUFFER, packed), ended: false };
        Self { frames: FrameDecoder::new(packed), done: false }
    }
}

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.done {
            let octets = self.frames.read(out)?;
            if octets != 0 || out.is_empty() {
                return Ok(octets);
            }
            let packed = self.frames.get_mut();
            if packed.ended {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the LZ4 frame has no end mark"));
            }
            self.done = packed.inner.fill_buf()?.is_empty();
        }
        Ok(0)
    }
}

/// Remembers whether somebody has read at the end.
struct Watched<R> {
    inner: R,
    ended: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let octets = self.inner.read(out)?;
        self.ended |= octets == 0 && !out.is_empty();
        Ok(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The octets as they are, and in every format.
    fn packed(plain: &[u8]) -> Vec<(Packing, Vec<u8>)> {
        let packing = |name| match name {
            "gz" => Packing::Gzip,
            "bz2" => Packing::Bzip2,
            "zst" => Packing::Zstd,
            "xz" => Packing::Xz,
            _ => Packing::Lz4,
        };
        let packed = sonde_tests::packed::packed(plain).into_iter().map(|(name, octets)| (packing(name), octets));
        std::iter::once((Packing::Plain, plain.to_vec())).chain(packed).collect()
    }

    fn plain() -> Vec<u8> {
        (0..100_000u32).flat_map(|n| (n / 7).to_be_bytes()).collect()
    }

    fn read(packed: &[u8]) -> (Packing, io::Result<Vec<u8>>) {
        let (packing, mut reader) = unpacked(packed).unwrap();
        let mut out = Vec::new();
        let outcome = reader.read_to_end(&mut out).map(|_| out);
        (packing, outcome)
    }

    #[test]
    fn every_format_is_read_back() {
        for (packing, octets) in packed(&plain()) {
            let (found, out) = read(&octets);
            assert_eq!((found, out.unwrap()), (packing, plain()));
        }
    }

    #[test]
    fn streams_one_behind_the_other_are_one() {
        for (packing, octets) in packed(&plain()) {
            let (found, out) = read(&[octets.clone(), octets].concat());
            assert_eq!((found, out.unwrap()), (packing, [plain(), plain()].concat()), "{packing:?}");
        }
    }

    #[test]
    fn a_stream_that_is_cut_is_an_error_and_what_came_before_is_read() {
        for (packing, octets) in packed(&plain()).into_iter().filter(|(packing, _)| *packing != Packing::Plain) {
            for cut in [octets.len() - 1, octets.len() / 2, 7] {
                let (packing_found, out) = read(&octets[..cut]);
                assert_eq!(packing_found, packing);
                assert!(out.is_err(), "{packing:?} cut to {cut} of {} octets", octets.len());
            }
        }
    }

    #[test]
    fn what_is_too_short_to_be_compressed_is_plain() {
        for text in [&b""[..], b"B", b"BZ", b"\x1f", b"\xfd7zXZ"] {
            let (packing, out) = read(text);
            assert_eq!((packing, out.unwrap()), (Packing::Plain, text.to_vec()));
        }
    }

    #[test]
    fn a_zstandard_window_beyond_the_limit_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(&plain()).unwrap();
        let octets = encoder.finish().unwrap();
        assert!(read(&octets).1.is_err());
    }
}
