//! The models of `examples/`: compiled anew they are the committed bytes, and they are right.
//! `UPDATE_MODELS=1` writes the files instead.

mod common;

use std::path::{Path, PathBuf};

use common::outputs;
use kmodel_compiler::{
    Options, compile, eval,
    import::{self, InputFormat},
    options::ElementType,
};

fn examples(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
}

fn compiled(
    folder: &str,
    inference_type: ElementType,
    input_range: Option<(f32, f32)>,
    labels: &[&str],
) -> Vec<u8> {
    let model = std::fs::read(examples(folder).join(format!("{folder}.tflite"))).unwrap();
    let options = Options {
        inference_type,
        input_range,
        dataset: Some(examples(folder).join("calibration")),
        labels: labels.iter().map(ToString::to_string).collect(),
        ..Options::default()
    };
    let compiled = compile(&model, &options, &mut |_, _, _| {});
    compiled.unwrap_or_else(|problems| panic!("{}", problems[0])).kmodel
}

/// Compares with the committed file. A processor without fused multiply-add rounds the calibration
/// differently in the last bit; the bytes are compared where it has it.
fn is_committed(file: &str, kmodel: &[u8]) {
    let path = examples(file);
    if std::env::var_os("UPDATE_MODELS").is_some() {
        std::fs::write(&path, kmodel).unwrap();
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("fma") {
        let committed = std::fs::read(&path).unwrap();
        assert!(committed == kmodel, "{file} differs; UPDATE_MODELS=1 writes it anew");
        return;
    }
    eprintln!("skipped: the bytes of {file}, on this processor");
}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

const KINDS: [&str; 4] = ["kitchen", "recyclable", "hazardous", "other"];

#[test]
fn compiling_gives_the_committed_bytes() {
    is_committed("mnist/mnist_uint8.kmodel", &compiled("mnist", ElementType::Uint8, None, &DIGITS));
    is_committed("mnist/mnist_float.kmodel", &compiled("mnist", ElementType::Float, None, &DIGITS));
    let range = Some((-1.0, 1.0));
    let rubbish = compiled("rubbish", ElementType::Uint8, range, &KINDS);
    is_committed("rubbish/rubbish_uint8.kmodel", &rubbish);
}

/// The network in bytes decides as the network in floats does.
#[test]
fn rubbish_is_sorted_as_the_float_model_sorts_it() {
    let model = std::fs::read(examples("rubbish/rubbish.tflite")).unwrap();
    let graph = import::import(&model, InputFormat::Tflite, None).unwrap().graph;
    let kmodel = std::fs::read(examples("rubbish/rubbish_uint8.kmodel")).unwrap();
    let (mut same, mut right, mut count) = (0, 0, 0);
    for entry in std::fs::read_dir(examples("rubbish/calibration")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        let picture = image::open(&path).unwrap();
        let pixels: Vec<f32> = kmodel_compiler::dataset::planes(&picture, &[1, 3, 96, 96])
            .iter()
            .map(|v| v * 2.0 - 1.0)
            .collect();
        let float = largest(&eval::run(&graph, &[&pixels], &mut |_, _| {})[0]);
        let byte = largest(&outputs(&kmodel, &[pixels], (-1.0, 1.0)).unwrap()[0]);
        same += usize::from(float == byte);
        right += usize::from(name.ends_with(KINDS[byte]));
        count += 1;
    }
    println!("{count} pictures: {same} as in float, {right} right");
    assert!(count >= 40 && same * 20 >= count * 19, "{same} of {count}");
}

fn largest(values: &[f32]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap()
}

/// The share of digits that a kmodel gets right.
fn accuracy(kmodel: &str, digits: &[(usize, Vec<f32>)]) -> f64 {
    let kmodel = std::fs::read(examples(kmodel)).unwrap();
    let right = digits.iter().filter(|(label, pixels)| {
        let y = outputs(&kmodel, std::slice::from_ref(pixels), (0.0, 1.0)).unwrap();
        largest(&y[0]) == *label
    });
    right.count() as f64 / digits.len() as f64
}

/// 20 held-back digits of each class, one class a row.
fn committed_digits() -> Vec<(usize, Vec<f32>)> {
    let picture = image::open(examples("mnist/held_back.png")).unwrap().to_luma8();
    (0..200)
        .map(|i| {
            let (row, column) = (i / 20, i % 20);
            let pixel = |p: usize| {
                let (y, x) = (row * 28 + p / 28, column * 28 + p % 28);
                f32::from(picture.get_pixel(x as u32, y as u32).0[0]) / 255.0
            };
            (row, (0..784).map(pixel).collect())
        })
        .collect()
}

#[test]
fn held_back_digits_are_recognised() {
    let digits = committed_digits();
    for kmodel in ["mnist/mnist_float.kmodel", "mnist/mnist_uint8.kmodel"] {
        let share = accuracy(kmodel, &digits);
        assert!(share >= 0.985, "{kmodel}: {share}");
    }
}

/// All 2,000, where `train.py --held-back` has written them.
#[test]
fn two_thousand_digits() {
    let Ok(records) = std::fs::read(examples("mnist/held_back.bin")) else {
        eprintln!(
            "skipped: examples/mnist/held_back.bin is not there; train.py --held-back writes it"
        );
        return;
    };
    let digits: Vec<(usize, Vec<f32>)> = records
        .chunks_exact(785)
        .map(|r| (r[0].into(), r[1..].iter().map(|&v| f32::from(v) / 255.0).collect()))
        .collect();
    assert_eq!(digits.len(), 2000);
    let float = accuracy("mnist/mnist_float.kmodel", &digits);
    let uint8 = accuracy("mnist/mnist_uint8.kmodel", &digits);
    println!("float {float}, uint8 {uint8}");
    assert!(float >= 0.985 && uint8 >= float - 0.003, "float {float}, uint8 {uint8}");
}
