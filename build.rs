//! With feature `ffi`: the C API's header becomes Rust declarations, so that both read one text.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "ffi")]
    declarations();
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
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let path = std::path::Path::new(&out).join("maix_kpu.rs");
    declarations.write_to_file(path).expect("OUT_DIR can be written to");
}
