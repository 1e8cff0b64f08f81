//! Runs scripts on the desktop program.
#![allow(dead_code)] // each test uses a part

use std::{
    fs,
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

/// The desktop program with options that every test wants, in a folder of its own.
pub fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--timeout", "300"]).current_dir(folder);
    command
}

/// Runs a script in its folder.
pub fn run(program: &Path, options: &[String], script: &Path) -> Output {
    let folder = script.parent().expect("a folder");
    command(program, folder).args(options).arg(script).output().expect("the program starts")
}

/// All that a script printed.
pub fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).replace('\r', "")
}

/// Writes the models of `tools/samples` into a folder.
pub fn write_samples(folder: &Path) {
    let more = [("v4_grids", kmodel_samples::v4::grids()), ("v3_grid", kmodel_samples::v3::grid())];
    fs::create_dir_all(folder).expect("a folder");
    for (name, file) in kmodel_samples::all().into_iter().chain(more) {
        fs::write(folder.join(format!("{name}.kmodel")), file).expect("a sample");
    }
}
