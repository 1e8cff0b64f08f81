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

/// The sample with another shift and slope in the segment above 0, where they are 1 and 1.
fn with_segment(shift: u8, slope: u8) -> Vec<u8> {
    let mut halves = kmodel_samples::v3::halves();
    let segment = halves.windows(8).position(|word| word == [1, 1, 0, 0, 0, 0, 0, 0]);
    halves[segment.expect("a segment")..][..2].copy_from_slice(&[shift, slope]);
    halves
}

/// A KPU that truncates: 255/512 of 2n + 1 lie below n + 0.5 whatever the rounding.
#[test]
fn truncation_is_named() {
    let Some(rule) = first_line(&with_segment(9, 255), &[]) else { return };
    assert_eq!(rule, "truncation");
}

#[test]
fn other_bytes_are_shown() {
    // Without the shift the segment gives what comes in.
    let Some(rule) = first_line(&with_segment(0, 1), &[]) else { return };
    assert!(rule.starts_with("none of the known rules; bytes [1, 3, 5, 7, "), "{rule}");
}
