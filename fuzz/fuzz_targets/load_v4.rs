//! Any bytes as a kmodel v4: an error, or a model that answers every question about itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maix_kpu_fuzz::{load, with_head};

fuzz_target!(|data: &[u8]| {
    let _ = load(&&with_head(b"LDMK\x04\0\0\0", data)[..]);
});
