//! `kmodel info`.

use crate::common::*;
use serde_json::json;

#[test]
fn a_sample_is_described() {
    let folder = Folder::new();
    let path = folder.file("m.kmodel", &kmodel_samples::v4::image());
    let info = json(&["info", &path, "--json"]);
    assert_eq!(info["version"], 4);
    let nodes = info["nodes"].as_array().unwrap();
    assert!(nodes.iter().any(|node| node["operator"] == "KPU upload"));
    let conv = nodes.iter().find(|node| node["runs_on"] == "KPU").unwrap();
    for key in ["weight_bytes", "kpu_ram", "macs", "estimated_ms"] {
        assert!(conv[key].as_f64().unwrap() > 0.0, "{key} of {conv}");
    }
    assert!(conv["weight_bytes"].as_u64() < conv["body_bytes"].as_u64());
    let peak = info["kpu_ram_peak"].as_u64().unwrap();
    assert!(peak > 0 && peak <= 2 << 20);
    let sum: f64 = nodes.iter().map(|node| node["estimated_ms"].as_f64().unwrap()).sum();
    assert!((sum - info["estimated_ms"].as_f64().unwrap()).abs() < 1e-9);
    let slow = json(&["info", &path, "--json", "--cpu-mhz", "200", "--kpu-mhz", "200"]);
    assert!((slow["estimated_ms"].as_f64().unwrap() - 2.0 * sum).abs() < 1e-9);
    let table = printed(&["info", &path]);
    for text in ["KPU RAM peak", "an estimate", "CPU 400 MHz, KPU 400 MHz", "fits: needs"] {
        assert!(table.contains(text), "{text} in {table}");
    }
}

#[test]
fn trailing_bytes_missing_padding_and_metadata_are_told() {
    let folder = Folder::new();
    let mut bytes = kmodel_samples::v4::floats_file();
    let whole = bytes.len();
    bytes.extend([1; 12]);
    let info = json(&["info", &folder.file("long.kmodel", &bytes), "--json"]);
    assert_eq!((&info["trailing_bytes"], &info["metadata"]), (&json!(12), &json!(null)));
    bytes.truncate(whole);
    maix_kpu::model::metadata::Content {
        labels: "kitchen\nrecyclable",
        anchors: &[1.0, 2.0],
        input_range: Some((-1.0, 1.0)),
        note: "a sample",
    }
    .write(&mut |piece| bytes.extend(piece));
    let path = folder.file("noted.kmodel", &bytes);
    let info = json(&["info", &path, "--json"]);
    assert_eq!(info["trailing_bytes"], bytes.len() - whole);
    assert_eq!(info["metadata"]["labels"], json!(["kitchen", "recyclable"]));
    assert_eq!(info["metadata"]["anchors"], json!([[1.0, 2.0]]));
    let table = printed(&["info", &path]);
    assert!(table.contains("labels: kitchen, recyclable") && table.contains("note: a sample"));
}

#[test]
fn recent_opcodes_are_pointed_out() {
    let folder = Folder::new();
    let path = folder.file("m.kmodel", &kmodel_samples::v4::bytes());
    let info = json(&["info", &path, "--json"]);
    assert_eq!(info["recent_opcodes"], json!(["0x12 table lookup"]));
}

#[test]
fn every_real_model_is_described() {
    let Some(root) = test_data("golden") else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path().join("model.kmodel");
        if !path.to_str().unwrap().contains("/v5_") && path.exists() {
            let info = json(&["info", path.to_str().unwrap(), "--json"]);
            let nodes = info["nodes"].as_array().unwrap();
            let weights = info["weight_bytes"].as_u64().unwrap();
            assert!(weights <= info["flash"].as_u64().unwrap(), "{}", path.display());
            assert!(info["kpu_ram_peak"].as_u64().unwrap() <= 2 << 20, "{}", path.display());
            let inputs = |n: &serde_json::Value| n["inputs"].as_array().unwrap().len();
            assert!(nodes.iter().all(|n| inputs(n) > 0), "{}", path.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 38);
}

#[test]
fn a_real_kmodel_5_is_named() {
    let Some(folder) = golden("v5_yolox_nano_224") else { return };
    let [what, hint] = failed(&["info", folder.join("model.kmodel").to_str().unwrap()]);
    assert!(what.contains("kmodel v5") && hint.contains("kmodel compile"), "{what} {hint}");
}
