//! `kmodel compare`.

use crate::common::*;

#[test]
fn a_model_equals_itself_and_a_changed_node_is_found() {
    let folder = Folder::new();
    for (name, bytes) in kmodel_samples::all() {
        let path = folder.file(name, &bytes);
        assert!(printed(&["compare", &path, &path]).ends_with("equal\n"), "{name}");
    }
    let model = example("mnist/mnist_float.kmodel");
    let mut bytes = std::fs::read(&model).unwrap();
    let nodes = json(&["info", &model, "--json"])["nodes"].clone();
    // A weight of the second convolution: some float well inside its body.
    let node =
        nodes.as_array().unwrap().iter().filter(|n| n["operator"] == "conv2d").nth(1).unwrap();
    let at = node["offset"].as_u64().unwrap() as usize
        + node["body_bytes"].as_u64().unwrap() as usize / 2;
    bytes[at / 4 * 4 + 3] ^= 0x80;
    let changed = folder.file("changed.kmodel", &bytes);
    let picture = example("mnist/pictures/8_0.png");
    let report = json(&["compare", &model, &changed, "--input", &picture, "--json"]);
    let first = format!("node {}", node["index"]);
    assert_eq!(report["first_difference"], first.as_str());
    let rows = report["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == first.as_str()).unwrap();
    assert!(row["decibels"].as_f64().unwrap() > 0.0 && row["equal"] == false, "{row}");
    let [what, _] = failed(&["compare", &model, &changed, "--input", &picture, "--least", "300"]);
    assert!(what.contains("output 0") && what.contains("at least 300"), "{what}");
    assert_eq!(kmodel(&["compare", &model]).status.code(), Some(2));
}

#[test]
fn models_with_other_nodes_are_compared_by_their_outputs() {
    let (a, b) = (example("mnist/mnist_uint8.kmodel"), example("mnist/mnist_float.kmodel"));
    let report =
        json(&["compare", &a, &b, "--input", &example("mnist/pictures/5_0.png"), "--json"]);
    assert!(report["note"].as_str().unwrap().contains("node 0"), "{report}");
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0]["decibels"].as_f64().unwrap() > 20.0, "{rows:?}");
    let folder = Folder::new();
    let other = folder.file("m.kmodel", &kmodel_samples::v3::image());
    let [what, _] = failed(&["compare", &a, &other]);
    assert!(what.contains("different inputs"), "{what}");
}

/// Layers that the KPU computes at step 1 and thins out, and images with a border.
#[test]
fn nodes_of_other_sizes_find_the_tensor_inside() {
    let picture = std::fs::read_dir(example("rubbish/calibration")).unwrap().next().unwrap();
    let report = json(&[
        "compare",
        &example("rubbish/rubbish_uint8.kmodel"),
        "--against",
        &example("rubbish/rubbish.tflite"),
        "--input",
        picture.unwrap().path().to_str().unwrap(),
        "--json",
    ]);
    for row in report["rows"].as_array().unwrap() {
        assert!(row["decibels"].as_f64().is_some_and(|decibels| decibels > 15.0), "{row}");
        assert!(row["no_counterpart"].is_null(), "{row}");
    }
}

#[test]
fn a_node_without_counterpart_says_why() {
    let Some(pair) = test_data("pairs/seg_003") else { return };
    let [kmodel, tflite] =
        ["model.kmodel", "model.tflite"].map(|name| pair.join(name).to_str().unwrap().to_string());
    let report = json(&["compare", &kmodel, "--against", &tflite, "--json"]);
    let rows = report["rows"].as_array().unwrap();
    let lost: Vec<_> = rows.iter().filter(|row| row["decibels"].is_null()).collect();
    assert!(!lost.is_empty());
    for row in lost {
        assert!(row["equal"] == true || row["no_counterpart"].as_str().is_some(), "{row}");
    }
}

#[test]
fn each_node_is_measured_against_the_float_model() {
    let tflite = example("mnist/mnist.tflite");
    let picture = example("mnist/pictures/5_0.png");
    let least = |model: &str, least: f64| {
        let report = json(&[
            "compare",
            &example(model),
            "--against",
            &tflite,
            "--input",
            &picture,
            "--json",
        ]);
        let rows = report["rows"].as_array().unwrap().clone();
        let decibels = |row: &serde_json::Value| match row["equal"] == true {
            true => Some(f64::INFINITY),
            false => row["decibels"].as_f64(),
        };
        let measured: Vec<f64> = rows.iter().filter_map(decibels).collect();
        assert!(measured.len() * 2 > rows.len(), "{rows:?}");
        assert!(measured.iter().all(|&decibels| decibels > least), "{model}: {measured:?}");
        assert_eq!(report["first_difference"], serde_json::json!(null));
    };
    least("mnist/mnist_uint8.kmodel", 30.0);
    least("mnist/mnist_float.kmodel", 90.0);
    let inverted = ["--input-range", "5,6"];
    let uint8 = example("mnist/mnist_uint8.kmodel");
    let report = json(
        &[&["compare", &uint8, "--against", &tflite, "--input", &picture, "--json"], &inverted[..]]
            .concat(),
    );
    assert_ne!(report["first_difference"], serde_json::json!(null), "another range is told");
    let [what, _] = failed(&["compare", &uint8, "--against", &picture]);
    assert!(what.contains("neither TensorFlow Lite nor ONNX"), "{what}");
}
