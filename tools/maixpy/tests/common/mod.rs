//! Runs scripts on the desktop program.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The desktop program that `make test` builds first; `None` (and a line that says so) where it was
/// not built.
pub fn program() -> Option<PathBuf> {
    // Tests lie in target/PROFILE/deps.
    let test = std::env::current_exe().expect("a test's path");
    let program = test.ancestors().nth(2).expect("the profile's folder").join("maixpy");
    if !program.is_file() {
        println!("skipped: there is no {} (scripts/maixpy.sh builds it)", program.display());
        return None;
    }
    Some(program)
}

/// The folder of the whole project.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a script with the program's options; a minute is enough for each of ours.
pub fn run(program: &Path, options: &[String], script: &Path) -> Output {
    Command::new(program)
        .args(["--timeout", "120"])
        .args(options)
        .arg(script)
        .output()
        .expect("the desktop program starts")
}
