//! Fuzzes `sonde_fuzz::flows`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sonde_fuzz::flows(data));
