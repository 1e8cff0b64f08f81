//! `examples/board-check` tells the rounding rules of a KPU apart. `UPDATE_MODELS=1` writes its model.

mod common;

use std::fs;

use tempfile::TempDir;

#[test]
fn the_committed_model_is_the_sample() {
    let path = common::project().join("examples/board-check/halves.kmodel");
    let sample = kmodel_samples::v3::halves();
    if std::env::var_os("UPDATE_MODELS").is_some() {
        fs::write(&path, &sample).expect("a model");
    }
    assert!(fs::read(path).expect("a model") == sample, "UPDATE_MODELS=1 writes it anew");
}

/// The first line that the script prints.
fn first_line(halves: &[u8], options: &[&str]) -> Option<String> {
    let program = common::program()?;
    let folder = TempDir::new().expect("a folder");
    let model = folder.path().join("halves.kmodel");
    fs::write(&model, halves).expect("a model");
    let mnist = common::project().join("examples/mnist");
    let mut options: Vec<String> = options.iter().map(ToString::to_string).collect();
    for (address, file) in [
        (0x300000, mnist.join("mnist_uint8.kmodel")),
        (0x400000, mnist.join("mnist_float.kmodel")),
        (0x500000, model),
    ] {
        options.extend(["--flash".into(), format!("{address:#x}={}", file.display())]);
    }
    let script = common::project().join("examples/board-check/check.py");
    let shown = common::shown(&common::run(&program, &options, &script));
    let line = shown.lines().next().expect("a line");
    Some(line.strip_prefix("activations are rounded by: ").expect(&shown).to_owned())
}

#[test]
fn each_rule_is_named() {
    let halves = kmodel_samples::v3::halves();
    let Some(rule) = first_line(&halves, &[]) else { return };
    assert_eq!(rule, "half to even");
    assert_eq!(first_line(&halves, &["--half-up"]).as_deref(), Some("half up"));
}

#[test]
fn other_bytes_are_shown() {
    let mut unhalved = kmodel_samples::v3::halves();
    // The segment above 0: shift 1, slope 1. Without the shift it gives what comes in.
    let segment = unhalved.windows(8).position(|word| word == [1, 1, 0, 0, 0, 0, 0, 0]);
    unhalved[segment.expect("a segment")] = 0;
    let Some(rule) = first_line(&unhalved, &[]) else { return };
    assert!(rule.starts_with("none of the known rules; bytes [1, 3, 5, 7, "), "{rule}");
}
