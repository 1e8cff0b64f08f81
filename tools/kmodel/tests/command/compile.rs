//! `kmodel compile` and `infer`, also as `ncc`.

use crate::common::*;
use std::process::Command;

fn digit_of(model: &str) -> String {
    let shown =
        printed(&["run", model, "--input", &example("mnist/pictures/4_0.png"), "--top", "1"]);
    shown.lines().nth(1).unwrap().trim().split(':').next().unwrap().to_string()
}

#[test]
fn the_example_compiles_to_the_right_digit_and_the_same_bytes() {
    let folder = Folder::new();
    let (tflite, dataset) = (example("mnist/mnist.tflite"), example("mnist/calibration"));
    let labels = folder.file("labels.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    let mut models = Vec::new();
    for name in ["a.kmodel", "b.kmodel"] {
        let (out, report) = (folder.path(name), folder.path("report.json"));
        let table = printed(&[
            "compile",
            &tflite,
            &out,
            "-i",
            "tflite",
            "--dataset",
            &dataset,
            "--report",
            &report,
            "--labels",
            &labels,
            "--dump-weights-range",
        ]);
        assert!(table.contains("KPU RAM") && table.contains(&format!("wrote {out}")), "{table}");
        assert_eq!(table.lines().filter(|line| line.contains(": weights ")).count(), 7);
        let report: serde_json::Value =
            serde_json::from_slice(&folder.read("report.json")).unwrap();
        let rows = report["rows"].as_array().unwrap();
        let nodes = json(&["info", &out, "--json"])["nodes"].as_array().unwrap().len();
        assert_eq!(rows.len(), nodes);
        assert_eq!(digit_of(&out), "4");
        models.push(folder.read(name));
    }
    assert_eq!(models[0], models[1]);
    let info = json(&["info", &folder.path("a.kmodel"), "--json"]);
    assert_eq!(info["metadata"]["labels"][9], "j");
}

#[cfg(unix)]
#[test]
fn nccs_command_lines_work_through_a_link() {
    let folder = Folder::new();
    let link = folder.path("ncc");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kmodel"), &link).unwrap();
    let ncc = |arguments: &[&str]| {
        let output =
            Command::new(&link).args(arguments).current_dir(folder.path("")).output().unwrap();
        (output.status.code(), text(&output.stdout).to_string(), text(&output.stderr).to_string())
    };
    let tflite = example("mnist/mnist.tflite");
    let (status, _, errors) = ncc(&[
        "compile",
        &tflite,
        "m.kmodel",
        "-i",
        "tflite",
        "-o",
        "kmodel",
        "-t",
        "k210",
        "--dataset",
        &example("mnist/calibration"),
        "--dataset-format",
        "image",
        "--inference-type",
        "uint8",
        "--input-mean",
        "0",
        "--input-std",
        "1",
        "--dump-ir",
        "--input-type",
        "uint8",
        "--max-allocator-solve-secs",
        "120",
        "--calibrate-method",
        "l2",
        "--dump-weights-range",
        "--weights-quantize-threshold",
        "1024",
        "--output-quantize-threshold",
        "4096",
        "--no-quantized-binary",
    ]);
    assert_eq!(status, Some(0), "{errors}");
    assert!(errors.is_empty(), "no progress bar outside a terminal: {errors}");
    assert_eq!(digit_of(&folder.path("m.kmodel")), "4");
    let mut passes: Vec<String> = std::fs::read_dir(folder.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("ir_"))
        .collect();
    passes.sort();
    let listing = passes.pop().filter(|name| name.ends_with("_program.txt")).unwrap();
    let listing = String::from_utf8(folder.read(&listing)).unwrap();
    let steps: Vec<&str> = listing.lines().collect();
    assert!(
        steps[0].starts_with("inputs: KPU[0x") && steps[0].ends_with("U8 1x1x28x28"),
        "{listing}"
    );
    assert!(steps[1].starts_with("   0 KPU conv2d 3x3, pool "), "{listing}");
    let info = json(&["info", &folder.path("m.kmodel"), "--json"]);
    assert_eq!(steps.len() - 2, info["nodes"].as_array().unwrap().len(), "{listing}");
    assert!(steps[steps.len() - 1].starts_with("outputs: main[0x"), "{listing}");
    assert!(passes.len() > 3 && passes[0] == "ir_00_import.dot", "{passes:?}");
    for pass in &passes {
        let graph = String::from_utf8(folder.read(pass)).unwrap();
        assert!(graph.starts_with("digraph") && graph.contains("softmax"), "{pass}: {graph}");
    }

    let (status, ..) = ncc(&["infer", "m.kmodel", "out", "--dataset", &example("mnist/pictures")]);
    assert_eq!(status, Some(0));
    for digit in 0..10 {
        let scores = floats(&folder.read(&format!("out/{digit}_0.bin")));
        assert!(scores[digit] > 0.5, "{digit}: {scores:?}");
    }
    let (status, version, _) = ncc(&["-v"]);
    assert_eq!(status, Some(0));
    assert!(version.starts_with("kmodel "), "{version}");
}

#[test]
fn inference_in_float_takes_the_range_that_is_given() {
    let folder = Folder::new();
    let (tflite, out) = (example("mnist/mnist.tflite"), folder.path("m.kmodel"));
    let float = ["compile", &tflite, &out, "--inference-type", "float", "--input-range", "-1,1"];
    let notes = ["--anchors", "1,1.5,2,2", "--note", "a test"];
    printed(&[&float[..], &notes[..], &["--report", &folder.path("r.html")]].concat());
    let info = json(&["info", &out, "--json"]);
    assert_eq!(info["metadata"]["anchors"], serde_json::json!([[1.0, 1.5], [2.0, 2.0]]));
    assert_eq!(info["metadata"]["note"], "a test");
    assert_eq!(info["metadata"]["input_range"], serde_json::json!([-1.0, 1.0]));
    assert_eq!(info["inputs"][0]["dtype"], "float32");
    assert!(text(&folder.read("r.html")).starts_with("<!doctype html>"));

    // Mean and standard deviation that say what the metadata says give the same.
    let pictures = example("mnist/pictures");
    printed(&["infer", &out, &folder.path("plain"), "--dataset", &pictures]);
    let explicit = ["--input-mean", "0.5", "--input-std", "0.5"];
    let (one, zero) = (folder.path("explicit"), folder.path("zero"));
    printed(&[&["infer", &out, &one, "--dataset", &pictures], &explicit[..]].concat());
    printed(&["infer", &out, &zero, "--dataset", &pictures, "--input-mean", "0"]);
    assert_eq!(folder.read("plain/3_0.bin"), folder.read("explicit/3_0.bin"));
    assert_ne!(folder.read("plain/3_0.bin"), folder.read("zero/3_0.bin"));
}

#[test]
fn raw_data_sets_are_read() {
    let folder = Folder::new();
    let model = example("mnist/mnist_uint8.kmodel");
    let pixels = image::open(example("mnist/pictures/3_0.png")).unwrap().into_luma8().into_raw();
    std::fs::create_dir(folder.path("raw")).unwrap();
    folder.file("raw/three.data", &pixels);
    let (out, raw) = (folder.path("out"), folder.path("raw"));
    printed(&["infer", &model, &out, "--dataset", &raw, "--dataset-format", "raw"]);
    assert!(floats(&folder.read("out/three.bin"))[3] > 0.9);
    folder.file("raw/three.bin", &pixels);
    let [what, _] = failed(&["infer", &model, &out, "--dataset", &raw, "--dataset-format", "raw"]);
    assert!(what.contains("three.bin and") && what.contains("would both give"), "{what}");
    let [what, _] = failed(&["infer", &model, &out, "--dataset", &raw]);
    assert!(what.contains("no inputs"), "{what}");
}

#[test]
fn what_cannot_be_compiled_is_said() {
    let folder = Folder::new();
    let (tflite, out) = (example("mnist/mnist.tflite"), folder.path("m.kmodel"));
    let [what, hint] = failed(&["compile", &tflite, &out]);
    assert!(what.contains("--dataset") && hint.contains("float"), "{what} {hint}");
    let text = folder.file("notes.txt", b"hello there");
    let [what, _] = failed(&["compile", &text, &out]);
    assert!(what.contains("TensorFlow Lite"), "{what}");
    let saved = folder.path("saved");
    std::fs::create_dir(&saved).unwrap();
    folder.file("saved/saved_model.pb", b"\x08\x01\x12\x02\x0a\x00");
    for path in [&saved, &folder.path("saved/saved_model.pb")] {
        let [what, hint] = failed(&["compile", path, &out, "-i", "tflite"]);
        assert!(what.contains("SavedModel") && hint.contains("from_saved_model"), "{what} {hint}");
    }
    let [what, _] = failed(&["compile", &tflite, &out, "--report", "r.txt"]);
    assert!(what.contains("r.txt"), "{what}");
    let usage: [&[&str]; 6] = [
        &["--target", "cpu"],
        &["-i", "caffe"],
        &["--allow-ops", "0x02"],
        &["--input-range", "0,1", "--input-mean", "0.5"],
        &["--input-std", "0"],
        &["--calibrate-method", "best"],
    ];
    for options in usage {
        let output = kmodel(&[&["compile", &tflite, &out], options].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}");
    }
    assert!(!std::path::Path::new(&out).exists());
}

/// A field of a protobuf message that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut len = bytes.len();
    while len >= 0x80 {
        field.push(len as u8 | 0x80);
        len >>= 7;
    }
    field.push(len as u8);
    field.extend(bytes);
    field
}

/// An ONNX model of one operator after another on four floats.
fn onnx(operators: &[&str]) -> Vec<u8> {
    let mut graph = Vec::new();
    for (index, operator) in operators.iter().enumerate() {
        let (from, to) = (format!("x{index}"), format!("x{}", index + 1));
        let node = [(1, from), (2, to), (3, format!("node_{operator}")), (4, operator.to_string())];
        let node: Vec<u8> = node.iter().flat_map(|(n, text)| field(*n, text.as_bytes())).collect();
        graph.extend(field(1, &node));
    }
    let value = |name: String| {
        let dims: Vec<u8> = [1u8, 4].iter().flat_map(|&dim| field(1, &[1 << 3, dim])).collect();
        let tensor = [vec![1 << 3, 1], field(2, &dims)].concat();
        [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
    };
    graph.extend(field(2, b"test"));
    graph.extend(field(11, &value("x0".to_string())));
    graph.extend(field(12, &value(format!("x{}", operators.len()))));
    [vec![1 << 3, 8], field(7, &graph), field(8, &[2 << 3, 13])].concat()
}

#[test]
fn every_problem_is_told_at_once() {
    let folder = Folder::new();
    let out = folder.path("m.kmodel");
    let model = folder.file("bad.onnx", &onnx(&["Relu", "NonZero", "Sigmoid", "Einsum"]));
    let output = kmodel(&["compile", &model, &out, "--inference-type", "float"]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = text(&output.stderr).lines().collect();
    let [first, first_hint, second, second_hint] = lines[..] else { panic!("{lines:#?}") };
    assert!(first.starts_with("error: ") && first.contains("NonZero"), "{first}");
    assert!(second.starts_with("error: ") && second.contains("Einsum"), "{second}");
    assert!([first_hint, second_hint].iter().all(|hint| hint.starts_with("  hint: ")));

    let model = folder.file("good.onnx", &onnx(&["Relu", "Sigmoid"]));
    printed(&["compile", &model, &out, "-i", "onnx", "--inference-type", "float"]);
    let values: Vec<u8> = [-1.0f32, 0.0, 1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let run = json(&["run", &out, "--input", &folder.file("x.bin", &values), "--json"]);
    let got: Vec<f64> = run["outputs"][0]["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect();
    for (got, expected) in got.iter().zip([0.5, 0.5, 0.7310586, 0.8807971]) {
        assert!((got - expected).abs() < 1e-6, "{got} {expected}");
    }
}
