//! `kmodel run`.

use crate::common::*;
use serde_json::json;

#[test]
fn the_example_reads_a_digit_from_every_kind_of_file() {
    let folder = Folder::new();
    let (model, picture) = (example("mnist/mnist_uint8.kmodel"), example("mnist/pictures/3_0.png"));
    let out = folder.path("out");
    let shown = printed(&["run", &model, "--input", &picture, "--output", &out]);
    assert!(shown.contains("output 0: float32 [1, 10, 1, 1]\n  3: 0.9"), "{shown}");
    let expected = folder.read("out/output_0.bin");
    assert_eq!(expected.len(), 40);

    let pixels = image::open(&picture).unwrap().into_luma8().into_raw();
    let mut array = b"\x93NUMPY\x01\x00".to_vec();
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (28, 28), }\n";
    array.extend((header.len() as u16).to_le_bytes());
    array.extend(header.as_bytes());
    array.extend(&pixels);
    for input in [folder.file("digit.bin", &pixels), folder.file("digit.npy", &array)] {
        let out = folder.path("other");
        printed(&["run", &model, "--input", &input, "--output", &out, "--format", "bin"]);
        assert_eq!(folder.read("other/output_0.bin"), expected, "{input}");
    }
    let result = json(&["run", &model, "--input", &picture, "--json", "--top", "2", "--trace"]);
    let output = &result["outputs"][0];
    assert_eq!(output["top"].as_array().unwrap().len(), 2);
    assert_eq!(output["top"][0]["index"], 3);
    assert_eq!(output["values"].as_array().unwrap().len(), 10);
    let nodes = json(&["info", &model, "--json"])["nodes"].clone();
    let operators = |list: &serde_json::Value| -> Vec<serde_json::Value> {
        list.as_array().unwrap().iter().map(|node| node["operator"].clone()).collect()
    };
    assert_eq!(operators(&result["trace"]), operators(&nodes));
    assert_eq!(result["trace"][0]["crc32"].as_str().unwrap().len(), 8);

    printed(&["run", &model, "--input", &picture, "--output", &out, "--format", "npy"]);
    assert_eq!(folder.read("out/output_0.npy")[128..], expected);
}

#[test]
fn labels_come_from_metadata_or_a_file() {
    let folder = Folder::new();
    let picture = example("mnist/pictures/7_0.png");
    let mut model = std::fs::read(example("mnist/mnist_uint8.kmodel")).unwrap();
    let size = maix_kpu::model::Model::open(&&model[..]).unwrap().size();
    model.truncate(size);
    let names = "nil\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine";
    let content = maix_kpu::model::metadata::Content { labels: names, ..Default::default() };
    content.write(&mut |piece| model.extend(piece));
    let model = folder.file("m.kmodel", &model);
    let shown = printed(&["run", &model, "--input", &picture]);
    assert!(shown.lines().nth(1).unwrap().ends_with(" seven"), "{shown}");
    let labels = folder.file("labels.txt", "0\n1\n2\n3\n4\n5\n6\nVII\n8\n9".as_bytes());
    let shown = printed(&["run", &model, "--input", &picture, "--labels", &labels]);
    assert!(shown.lines().nth(1).unwrap().ends_with(" VII"), "{shown}");
}

#[test]
fn another_size_needs_resize() {
    let folder = Folder::new();
    let model = example("mnist/mnist_float.kmodel");
    let picture = folder.picture("wide.png", 56, 28);
    let [what, hint] = failed(&["run", &model, "--input", &picture]);
    assert!(what.contains("56x28") && what.contains("28x28"), "{what}");
    assert!(hint.contains("--resize"), "{hint}");
    let values = |resize: &str| {
        let run = json(&["run", &model, "--input", &picture, "--resize", resize, "--json"]);
        run["outputs"][0]["values"].clone()
    };
    let (stretched, cropped) = (values("stretch"), values("crop"));
    assert_ne!(stretched, cropped);
    assert_ne!(cropped, values("letterbox"));
    // A crop of a picture that already fits changes nothing.
    let fits = folder.path("fits.png");
    image::open(&picture).unwrap().crop_imm(14, 0, 28, 28).save(&fits).unwrap();
    let run = json(&["run", &model, "--input", &fits, "--json"]);
    assert_eq!(run["outputs"][0]["values"], cropped);
}

#[test]
fn the_input_range_is_the_models_or_the_users() {
    let (model, picture) = (example("mnist/mnist_float.kmodel"), example("mnist/pictures/3_0.png"));
    let values = |range: &[&str]| {
        let run = json(&[&["run", &model, "--input", &picture, "--json"], range].concat());
        run["outputs"][0]["values"].clone()
    };
    assert_eq!(values(&[]), values(&["--input-range", "0,1"]));
    assert_ne!(values(&[]), values(&["--input-range", "-1,1"]));
    for bad in ["1", "1,0", "a,b", "0,inf"] {
        let output = kmodel(&["run", &model, "--input", &picture, "--input-range", bad]);
        assert_eq!(output.status.code(), Some(2), "{bad}");
    }
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let folder = Folder::new();
    let model = example("mnist/mnist_uint8.kmodel");
    let short = folder.file("short.bin", &[0; 700]);
    let [what, _] = failed(&["run", &model, "--input", &short]);
    assert!(what.contains("700") && what.contains("784"), "{what}");
    let [what, _] = failed(&["run", &model, "--input", &short, "--input", &short]);
    assert!(what.contains("1 inputs, 2 given"), "{what}");
    let text = folder.file("notes.txt", b"hello");
    let [what, hint] = failed(&["run", &model, "--input", &text]);
    assert!(what.contains("notes.txt") && hint.contains(".png"), "{what} {hint}");
}

#[test]
fn a_member_of_a_package_is_chosen() {
    let folder = Folder::new();
    let path = folder.path("both.kfpkg");
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for name in ["mnist_uint8.kmodel", "mnist_float.kmodel"] {
        use std::io::Write;
        archive.start_file(name, options).unwrap();
        archive.write_all(&std::fs::read(example(&format!("mnist/{name}"))).unwrap()).unwrap();
    }
    archive.finish().unwrap();
    let picture = example("mnist/pictures/3_0.png");
    let [what, hint] = failed(&["run", &path, "--input", &picture]);
    assert!(what.contains("several models") && hint.contains("--member"), "{what} {hint}");
    let member = ["run", &path, "--member", "mnist_uint8.kmodel", "--input", &picture];
    assert!(printed(&member).contains("  3: 0.9"));
    assert_eq!(json(&["info", &path, "--json"]).as_array().unwrap().len(), 2);
}

/// A detector of one anchor and one class on a grid of 2x2 cells: its floats are its output.
fn detector(anchors: &[f32]) -> Vec<u8> {
    use maix_kpu::{
        model::v4::{operator::MemoryCopy, range::Shape4},
        tensor::Dtype,
    };
    let mut builder = kmodel_samples::v4::Builder::default();
    let input = builder.tensor(Dtype::F32, 24);
    let output = builder.tensor(Dtype::F32, 24);
    builder.node(0x09, &MemoryCopy { input, output }, &[]);
    let mut file = builder.finish((input, Shape4([1, 6, 2, 2])), &[output]);
    let content =
        maix_kpu::model::metadata::Content { anchors, labels: "thing", ..Default::default() };
    content.write(&mut |piece| file.extend(piece));
    file
}

#[test]
fn boxes_are_found_and_refused() {
    let folder = Folder::new();
    // Values [x, y, w, h, objectness, class][cell]; only the last cell has an object, of half the
    // picture's width and height around (0.75, 0.75).
    let mut values = [0.0f32; 24];
    values[16..20].copy_from_slice(&[-20.0, -20.0, -20.0, 20.0]);
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let input = folder.file("input.bin", &bytes);
    let model = folder.file("m.kmodel", &detector(&[1.0, 1.0]));
    let found = json(&["run", &model, "--input", &input, "--yolo2", "--classes", "1", "--json"]);
    let found = found["boxes"].as_array().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["class"], &found[0]["label"]), (&json!(0), &json!("thing")));
    assert!(
        printed(&["run", &model, "--input", &input, "--yolo2", "1,1"])
            .contains("class 0 thing 1.000")
    );
    let none = printed(&["run", &model, "--input", &input, "--yolo2", "--threshold", "1"]);
    assert!(none.contains("no boxes"), "{none}");
    let [what, _] = failed(&["run", &model, "--input", &input, "--yolo2", "--classes", "3"]);
    assert!(what.contains("make 1 classes, not 3"), "{what}");
    let [what, _] = failed(&["run", &model, "--input", &input, "--yolo2", "1,1,2,2,3,3,4,4"]);
    assert!(what.contains("4 anchors"), "{what}");
    let [what, _] =
        failed(&["run", &model, "--input", &input, "--yolo2", "--save", &folder.path("o.png")]);
    assert!(what.contains("--save needs a picture"), "{what}");
    let bare = folder.file("bare.kmodel", &detector(&[]));
    let [what, _] = failed(&["run", &bare, "--input", &input, "--yolo2"]);
    assert!(what.contains("no anchors"), "{what}");
    for bad in ["1,2,3", "1,x", "1,-1"] {
        let output = kmodel(&["run", &model, "--input", &input, "--yolo2", bad]);
        assert_eq!(output.status.code(), Some(2), "{bad}");
    }
}

#[test]
fn a_real_detector_draws_its_box() {
    let Some(golden) = golden("v4_yolo20_sdk") else { return };
    let folder = Folder::new();
    let path = |name: &str| golden.join(name).to_str().unwrap().to_string();
    let saved = folder.path("boxes.png");
    let anchors = "1.08,1.19,3.42,4.41,6.63,11.38,9.42,5.11,16.62,10.52";
    let (model, picture) = (path("model.kmodel"), path("natural.png"));
    let run = ["run", &model, "--input", &picture, "--yolo2", anchors, "--classes", "20", "--json"];
    let run = json(&[&run[..], &["--save", &saved]].concat());
    let found = run["boxes"].as_array().unwrap();
    assert!(!found.is_empty());
    let before = image::open(&picture).unwrap().into_rgb8();
    let after = image::open(&saved).unwrap().into_rgb8();
    assert_eq!(before.dimensions(), after.dimensions());
    let (x, y) = (found[0]["x"].as_u64().unwrap() as u32, found[0]["y"].as_u64().unwrap() as u32);
    assert_ne!(before.get_pixel(x, y + 20), after.get_pixel(x, y + 20));
}

#[test]
fn a_real_model_gives_its_recorded_output() {
    let Some(golden) = golden("v3_mnist") else { return };
    let folder = Folder::new();
    let path = |name: &str| golden.join(name).to_str().unwrap().to_string();
    let (model, input, out) = (path("model.kmodel"), path("input_digit0.bin"), folder.path("out"));
    let shown = printed(&["run", &model, "--trace", "--input", &input, "--output", &out]);
    assert!(shown.starts_with("0 KPU conv2d uint8 1x16x14x14 c9ebb90d\n"), "{shown}");
    let got = floats(&folder.read("out/output_0.bin"));
    let expected = floats(&std::fs::read(golden.join("output_digit0_0.bin")).unwrap());
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() <= 1e-5 * largest, "{got} {expected}");
    }
}
