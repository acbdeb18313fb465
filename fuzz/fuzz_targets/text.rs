#![no_main]

libfuzzer_sys::fuzz_target!(init: evenkeel_fuzz::pass_over_refusals(), |data: &[u8]| evenkeel_fuzz::text(data));
