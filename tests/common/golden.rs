//! Real models with recorded inputs, outputs and node checksums.

use crate::common::testdata;
use serde_json::Value;
use std::path::Path;

/// One model with one input.
pub struct Case {
    /// Model and input.
    pub name: String,
    /// The file.
    pub model: Vec<u8>,
    /// Its input, raw.
    pub input: Vec<u8>,
    /// Its outputs, raw.
    pub outputs: Vec<Vec<u8>>,
    /// CRC-32 of what each node wrote, where recorded.
    pub trace: Vec<Option<u32>>,
}

/// The entries of the manifest.
pub fn manifest(golden: &Path) -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(golden.join("manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Every case of the models whose names begin like this, or `None` without test data.
pub fn cases(prefixes: &[&str]) -> Option<Vec<Case>> {
    let golden = testdata("golden")?;
    let read = |file: &Value| std::fs::read(golden.join(file.as_str().unwrap())).unwrap();
    let mut cases = Vec::new();
    for (name, entry) in manifest(&golden) {
        if !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        for (case, data) in entry["cases"].as_object().unwrap() {
            let outputs = data["outputs"].as_array().unwrap();
            let trace = String::from_utf8(read(&data["trace"])).unwrap();
            cases.push(Case {
                name: format!("{name} {case}"),
                model: read(&entry["file"]),
                input: read(&data["input"]["file"]),
                outputs: outputs.iter().map(|output| read(&output["file"])).collect(),
                trace: trace
                    .lines()
                    .filter(|line| !line.contains("op 2001"))
                    .map(checksum)
                    .collect(),
            });
        }
    }
    Some(cases)
}

fn checksum(line: &str) -> Option<u32> {
    let (_, after) = line.split_once("crc32 ")?;
    u32::from_str_radix(after.split(' ').next()?, 16).ok()
}
