//! Where the tests find real models; see `docs/testing.md`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The folder with real models, or `None`, said in a visible line, where it is absent.
pub fn testdata(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MAIX_KPU_TESTDATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    // Not `eprintln!`, which the test harness keeps to itself.
    let _ = writeln!(io::stderr(), "skipped: no test data at {}", path.display());
    None
}
