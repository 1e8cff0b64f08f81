//! Real data for the tests: the folder that `MAIX_KPU_TESTDATA` names (default `../shared`).

use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
};

/// The file at `path` of the data folder; without the folder a visible line, and `None`.
pub fn bytes(path: &str) -> Option<Vec<u8>> {
    let root = env::var_os("MAIX_KPU_TESTDATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")),
        PathBuf::from,
    );
    if !root.is_dir() {
        // Not `println!`, which the test harness keeps to itself.
        let _ = writeln!(io::stderr(), "skipped: no test data at {}", root.join(path).display());
        return None;
    }
    let file = root.join(path);
    Some(fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// The little-endian floats of a file of the data folder.
pub fn floats(path: &str) -> Option<Vec<f32>> {
    let bytes = bytes(path)?;
    Some(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect())
}

/// The lines that the original firmware printed for a script.
pub fn transcript(topic: &str) -> Option<Vec<String>> {
    let text = bytes(&format!("transcripts/{topic}/output.txt"))?;
    let text = String::from_utf8(text).expect("a transcript is text");
    Some(text.lines().map(str::to_owned).collect())
}

/// Fails unless the values agree to 1e-5 of the largest expected one.
#[track_caller]
pub fn assert_close(values: &[f32], expected: &[f32]) {
    assert_eq!(values.len(), expected.len());
    let largest = expected.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    for (index, (value, expected)) in values.iter().zip(expected).enumerate() {
        let limit = 1e-5 * largest;
        assert!((value - expected).abs() <= limit, "value {index}: {value}, expected {expected}");
    }
}
