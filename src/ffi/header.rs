//! The types of `mpy_bindings/include/maix_kpu.h`, made from it by bindgen.
#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    rustdoc::all,
    unsafe_code,
    unused
)]

include!(concat!(env!("OUT_DIR"), "/maix_kpu.rs"));
