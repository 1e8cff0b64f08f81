//! The command as a user calls it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn kmodel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kmodel")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn failures_have_two_lines_and_a_status() {
    let path = std::env::temp_dir().join(format!("kmodel-{}.kmodel", std::process::id()));
    std::fs::write(&path, [0xFF; 64]).unwrap();
    let output = kmodel(&["check", path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<_> = text(&output.stderr).lines().collect();
    assert!(lines[0].starts_with("error: ") && lines[0].contains("erased flash"), "{lines:?}");
    assert!(lines[1].starts_with("  hint: "), "{lines:?}");
    assert_eq!(kmodel(&["check"]).status.code(), Some(2));
}

fn golden(model: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MAIX_KPU_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join("golden").join(model);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no test data at {}", path.display());
    None
}

#[test]
fn a_real_model_gives_its_recorded_output() {
    let Some(folder) = golden("v3_mnist") else { return };
    let model = folder.join("model.kmodel");
    let model = model.to_str().unwrap();
    let info = kmodel(&["info", model, "--json"]);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["version"], 3);
    assert_eq!(info["nodes"].as_array().unwrap().len(), 11);
    assert_eq!(info["inputs"][0]["shape"], serde_json::json!([1, 1, 28, 28]));
    assert_eq!(info["fits"], true);
    assert!(kmodel(&["check", model]).status.success());
    assert_eq!(kmodel(&["check", model, "--free", "1000"]).status.code(), Some(1));

    let out = std::env::temp_dir().join(format!("kmodel-run-{}", std::process::id()));
    let input = folder.join("input_digit0.bin");
    let arguments = ["run", model, "--trace", "--input", input.to_str().unwrap(), "--output"];
    let run = kmodel(&[&arguments[..], &[out.to_str().unwrap()]].concat());
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(text(&run.stdout).starts_with("0 "), "{}", text(&run.stdout));
    assert!(text(&run.stdout).contains("c9ebb90d"));
    let floats = |path: PathBuf| -> Vec<f32> {
        let bytes = std::fs::read(path).unwrap();
        bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
    };
    let (got, expected) =
        (floats(out.join("output_0.bin")), floats(folder.join("output_digit0_0.bin")));
    std::fs::remove_dir_all(&out).unwrap();
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() <= 1e-5 * largest, "{got} {expected}");
    }
}
