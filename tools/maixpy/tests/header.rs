//! `desktop.h` and `picture.h` are what the two files `exports.rs` say.
//!
//! `UPDATE=1 cargo test -p maixpy --test header` writes them anew.

use std::path::Path;

/// Compares a header of `mpy_bindings` with what cbindgen makes of a source file.
fn check(config: &str, source: &str, header: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bindings = here.join("../../mpy_bindings");
    let header = bindings.join(header);
    let config = cbindgen::Config::from_file(here.join("tests").join(config)).unwrap();
    let generated = cbindgen::Builder::new()
        .with_config(config)
        .with_src(bindings.join(source))
        .generate()
        .unwrap();
    let mut text = Vec::new();
    generated.write(&mut text);
    let text = String::from_utf8(text).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&header, &text).unwrap();
    }
    let stored = std::fs::read_to_string(&header).unwrap();
    assert!(stored == text, "{} is not current: run with UPDATE=1", header.display());
}

#[test]
fn headers_are_current() {
    check("desktop.toml", "../tools/maixpy/src/exports.rs", "desktop/desktop.h");
    check("picture.toml", "image/src/exports.rs", "image/picture.h");
}
