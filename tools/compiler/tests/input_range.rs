//! What the bytes of a model's input stand for: as nncase 0.2's manual and its `ncc` have it.

mod common;

use common::tflite::{Data, Field, Model};
use kmodel_compiler::{Options, compile, options::DatasetFormat};

/// A convolution of 1x1 over pictures of 8x8.
fn model() -> Vec<u8> {
    let mut m = Model::new(&[1, 8, 8, 1]);
    let weights = m.tensor(&[2, 1, 1, 1], Data::Floats(vec![0.5, -0.25]));
    let options = [(1, Field::Int(1)), (2, Field::Int(1))];
    m.push(3, &[0, weights, -1], &[1, 8, 8, 2], &options);
    m.bytes()
}

/// What byte 0 and byte 255 of the compiled model's input stand for.
fn byte_range(options: &Options) -> (f32, f32) {
    let compiled = compile(&model(), options, &mut |_, _, _| {})
        .unwrap_or_else(|problems| panic!("{}", problems[0]));
    compiled.report.inputs[0].byte_range.expect("it takes bytes")
}

fn is_near((low, high): (f32, f32), expected: (f32, f32)) {
    assert!(
        (low - expected.0).abs() < 0.03 && (high - expected.1).abs() < 0.03,
        "{low}..{high}, expected {expected:?}"
    );
}

#[test]
fn raw_data_says_it_itself_unless_mean_or_std_do() {
    let values: Vec<f32> = (0..64).map(|i| i as f32 / 63.0 * 8.0 - 3.0).collect();
    let raw = common::raw(common::write_raw("byte_range", &[values]));
    is_near(byte_range(&raw), (-3.0, 5.0));
    let positive: Vec<f32> = (0..64).map(|i| 2.0 + i as f32 / 63.0).collect();
    let positive = common::raw(common::write_raw("byte_range_positive", &[positive]));
    is_near(byte_range(&positive), (0.0, 3.0));
    let with_mean = Options { input_mean: Some(0.5), input_std: Some(0.5), ..raw.clone() };
    is_near(byte_range(&with_mean), (-1.0, 1.0));
    let with_zero = Options { input_mean: Some(0.0), ..raw.clone() };
    is_near(byte_range(&with_zero), (0.0, 1.0));
    let with_range = Options { input_range: Some((-4.0, 6.0)), ..raw };
    is_near(byte_range(&with_range), (-4.0, 6.0));
}

#[test]
fn a_folder_without_pictures_is_told_by_what_it_holds() {
    let folder = common::write_raw("no_pictures", &[vec![0.5; 64]]);
    let options = Options { dataset: Some(folder), ..Options::default() };
    let Err(problems) = compile(&model(), &options, &mut |_, _, _| {}) else {
        panic!("compiled without a picture")
    };
    assert!(problems[0].why.contains("1 files") && problems[0].why.contains("0000.bin"));
}

#[test]
fn pixels_are_0_to_1_however_dark_the_pictures() {
    let folder = common::write_raw("byte_range_pictures", &[]);
    let dark = image::GrayImage::from_fn(8, 8, |x, y| image::Luma([(x * 8 + y) as u8]));
    dark.save(folder.join("dark.png")).unwrap();
    let pictures = Options { dataset: Some(folder), ..Options::default() };
    assert_eq!(pictures.dataset_format, DatasetFormat::Image);
    is_near(byte_range(&pictures), (0.0, 1.0));
    let centred = Options { input_mean: Some(0.5), input_std: Some(0.5), ..pictures };
    is_near(byte_range(&centred), (-1.0, 1.0));
}
