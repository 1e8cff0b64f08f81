//! The KPU module's sources compile against MaixPy's old MicroPython, where a tree of it is given:
//! `MICROPYTHON_OLD` names the folder that holds `py/`.

use std::{path::Path, process::Command};

#[test]
fn the_module_compiles_against_an_old_micropython() {
    let Some(tree) = std::env::var_os("MICROPYTHON_OLD") else {
        println!("skipped: MICROPYTHON_OLD names no MicroPython 1.11 or 1.12 tree");
        return;
    };
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/micropython_old/check.sh");
    assert!(Command::new(check).arg(tree).status().expect("a shell").success());
}
