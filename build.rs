//! Packs the texts of errors. With feature `ffi`, the C API's header becomes Rust declarations, so
//! that both read one text.

use std::path::PathBuf;

#[path = "build/texts.rs"]
mod texts;

fn main() {
    for read in ["build.rs", "build/texts.rs", "src/error/kinds.rs", "src/error/whats.rs"] {
        println!("cargo::rerun-if-changed={read}");
    }
    std::fs::write(out("texts.bin"), texts::packed()).expect("OUT_DIR can be written to");
    #[cfg(feature = "ffi")]
    declarations();
}

/// A file for the crate to include.
fn out(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join(name)
}

#[cfg(feature = "ffi")]
fn declarations() {
    const HEADER: &str = "mpy_bindings/include/maix_kpu.h";
    println!("cargo::rerun-if-changed={HEADER}");
    // Read as for this machine, for which clang has its headers: the chip's types are as large, and
    // the declarations assert the sizes they were made with.
    let host = std::env::var("HOST").expect("cargo sets HOST");
    let builder = bindgen::builder()
        .clang_arg(format!("--target={host}"))
        .header(HEADER)
        .allowlist_file(".*/maix_kpu\\.h")
        .clang_arg("-ffreestanding")
        .use_core()
        .ctypes_prefix("cty")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_default(true)
        .generate_comments(false)
        .generate_cstr(true)
        .layout_tests(true);
    let declarations = builder.generate().expect("the header is C");
    declarations.write_to_file(out("maix_kpu.rs")).expect("OUT_DIR can be written to");
}
