//! Fuzzes `sonde_fuzz::stats`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sonde_fuzz::stats(data));
