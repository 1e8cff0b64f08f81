//! `kmodel check`.

use crate::common::*;

#[test]
fn failures_have_two_lines_and_a_status() {
    let folder = Folder::new();
    let [what, _] = failed(&["check", &folder.file("m.kmodel", &[0xFF; 64])]);
    assert!(what.contains("erased flash") && what.contains("m.kmodel"), "{what}");
    let [what, _] = failed(&["check", &folder.path("absent.kmodel")]);
    assert!(what.contains("absent.kmodel"), "{what}");
    assert_eq!(kmodel(&["check"]).status.code(), Some(2));
    assert_eq!(kmodel(&["check", "m.kmodel", "--free", "many"]).status.code(), Some(2));
    assert_eq!(kmodel(&[]).status.code(), Some(2));
}

#[test]
fn every_sample_fits_and_little_room_does_not_do() {
    let folder = Folder::new();
    for (name, bytes) in kmodel_samples::all() {
        let path = folder.file(name, &bytes);
        assert!(printed(&["check", &path]).contains("of 4300000 bytes (maixpy-minimum)"));
        let [what, hint] = failed(&["check", &path, "--free", "100"]);
        assert!(what.contains("more than the 100 that are free"), "{what}");
        assert!(hint.contains("--profile"), "{hint}");
        assert!(printed(&["check", &path, "--profile", "bare"]).contains("6291456"));
    }
}

#[test]
fn a_damaged_node_is_named_with_its_place() {
    let folder = Folder::new();
    let mut bytes = kmodel_samples::v4::image();
    // The opcode of the only upload, in the table of node headers.
    let at = bytes.windows(4).position(|w| w == [0x01, 0x20, 0, 0]).unwrap();
    bytes[at] = 0x77;
    let [what, _] = failed(&["check", &folder.file("m.kmodel", &bytes)]);
    assert!(
        what.contains("node 3") && what.contains("0x2077") && what.contains("at byte"),
        "{what}"
    );
}

#[test]
fn a_reader_may_go_before_the_end() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_kmodel"))
        .args(["info", &example("mnist/mnist_uint8.kmodel")])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
