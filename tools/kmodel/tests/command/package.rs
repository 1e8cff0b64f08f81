//! `kmodel pack` and `unpack`.

use crate::common::*;
use serde_json::json;
use std::io::Read;

fn member(package: &str, name: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(package).unwrap()).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_packed_is_unpacked() {
    let folder = Folder::new();
    let model = kmodel_samples::v3::image();
    let firmware = folder.file("firmware.bin", &[0x6F; 5000]);
    let (model_path, package) = (folder.file("m.kmodel", &model), folder.path("all.kfpkg"));
    let placed = [format!("{model_path}@0x300000"), format!("{firmware}@0")];
    printed(&["pack", &package, &placed[0], &placed[1]]);
    let list: serde_json::Value =
        serde_json::from_slice(&member(&package, "flash-list.json")).unwrap();
    assert_eq!(
        list,
        json!({ "version": "0.1.0", "files": [
            { "address": 0, "bin": "firmware.bin", "sha256Prefix": true },
            { "address": 0x30_0000, "bin": "m.kmodel", "sha256Prefix": false },
        ]})
    );
    let shown = printed(&["unpack", &package, &folder.path("out")]);
    assert!(
        shown.contains(&format!("0x300000 {} bytes m.kmodel: kmodel v3", model.len())),
        "{shown}"
    );
    assert_eq!(folder.read("out/m.kmodel"), model);
    assert_eq!(folder.read("out/firmware.bin"), [0x6F; 5000]);
    assert!(printed(&["check", &package]).contains("all.kfpkg:m.kmodel: ok"));
}

#[test]
fn kmodels_are_swapped_for_load_flash_and_back() {
    let folder = Folder::new();
    let model = kmodel_samples::v3::image();
    let (path, package) = (folder.file("m.kmodel", &model), folder.path("m.kfpkg"));
    let text = folder.file("notes.txt", b"abcdefgh");
    let placed = [format!("{path}@3145728"), format!("{text}@0x500000")];
    printed(&["pack", &package, &placed[0], &placed[1], "--byte-order", "swapped"]);
    let swapped = member(&package, "m.kmodel");
    assert_eq!(swapped[..4], [0, 0, 0, 3]);
    assert_eq!(member(&package, "notes.txt"), b"abcdefgh", "only kmodels are swapped");
    let [what, _] = failed(&["check", &package]);
    assert!(what.contains("swapped"), "{what}");
    printed(&["unpack", &package, &folder.path("out")]);
    assert_eq!(folder.read("out/m.kmodel"), swapped);
    printed(&["unpack", &package, &folder.path("plain"), "--byte-order", "plain"]);
    assert_eq!(folder.read("plain/m.kmodel")[..model.len()], model);
    assert!(printed(&["check", &folder.path("plain/m.kmodel")]).contains("ok"));
}

#[test]
fn impossible_packages_are_refused() {
    let folder = Folder::new();
    let (a, b) = (folder.file("a.bin", &[1; 5000]), folder.file("b.bin", &[2; 10]));
    let package = folder.path("p.kfpkg");
    let [what, hint] = failed(&["pack", &package, &format!("{a}@0"), &format!("{b}@0x1000")]);
    assert!(what.contains("a.bin ends at 0x1388"), "{what}");
    assert!(hint.contains("0x2000 or more for b.bin"), "{hint}");
    let [what, _] = failed(&["pack", &package, &format!("{a}@0"), &format!("{a}@0x10000")]);
    assert!(what.contains("two files are named a.bin"), "{what}");
    let [what, _] = failed(&["pack", &package, &format!("{a}@0xFFF000")]);
    assert!(what.contains("flash at 0x1000000"), "{what}");
    for bad in ["a.bin", "a.bin@", "a.bin@0x10", "a.bin@top"] {
        assert_eq!(kmodel(&["pack", &package, bad]).status.code(), Some(2), "{bad}");
    }
    assert!(!std::path::Path::new(&package).exists());
    let [what, _] = failed(&["unpack", &a, &folder.path("out")]);
    assert!(what.contains("not a .kfpkg"), "{what}");
}

#[test]
fn a_member_does_not_leave_the_folder() {
    use std::io::Write;
    let folder = Folder::new();
    let package = folder.path("evil.kfpkg");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&package).unwrap());
    archive.start_file("../evil.bin", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(b"evil").unwrap();
    archive.finish().unwrap();
    let [what, _] = failed(&["unpack", &package, &folder.path("out")]);
    assert!(what.contains("../evil.bin"), "{what}");
    assert!(!std::path::Path::new(&folder.path("evil.bin")).exists());
}
