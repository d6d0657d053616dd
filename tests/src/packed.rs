//! Octets as each format's own writer packs them.

use std::io::Write;

/// Name of the format, as a file's ending has it, and the packed octets.
pub type Packed = (&'static str, Vec<u8>);

/// The octets in every format that captures and route dumps come in.
///
/// # Panics
/// Never: it writes to memory.
pub fn packed(plain: &[u8]) -> Vec<Packed> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(plain).expect("memory");
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(plain).expect("memory");
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(plain).expect("memory");
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(plain).expect("memory");
    vec![
        ("gz", gzip.finish().expect("memory")),
        ("bz2", bzip2.finish().expect("memory")),
        ("zst", zstd::stream::encode_all(plain, 1).expect("memory")),
        ("xz", xz.finish().expect("memory")),
        ("lz4", lz4.finish().expect("memory")),
    ]
}
