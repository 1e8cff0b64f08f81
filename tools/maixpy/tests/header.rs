//! `mpy_bindings/desktop/desktop.h` is what `src/exports.rs` says.
//!
//! `UPDATE=1 cargo test -p maixpy --test header` writes it anew.

use std::path::Path;

#[test]
fn header_is_current() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = here.join("../../mpy_bindings/desktop/desktop.h");
    let config = cbindgen::Config::from_file(here.join("tests/cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(here.join("src/exports.rs"))
        .generate()
        .unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&header, &text).unwrap();
    }
    let stored = std::fs::read_to_string(&header).unwrap();
    assert!(stored == text, "{} is not current: run with UPDATE=1", header.display());
}
