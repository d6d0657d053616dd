//! Fuzzes `sonde_fuzz::rib`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sonde_fuzz::rib(data));
