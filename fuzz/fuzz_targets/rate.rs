#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| traffik_tests::fuzzed::rate(data));
