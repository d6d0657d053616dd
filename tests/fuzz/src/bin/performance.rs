//! Fuzzes `sonde_fuzz::performance`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sonde_fuzz::performance(data));
