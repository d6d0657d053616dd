//! Fuzzes `sonde_fuzz::database`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sonde_fuzz::database(data));
