//! What the compiler's tests share: data, seeded inputs, runs of a kmodel, distances.

#![allow(dead_code)]

pub mod litert;
pub mod tflite;

use std::path::{Path, PathBuf};

use kmodel_compiler::{
    eval,
    graph::Graph,
    measure::{Fed, run},
    options::{DatasetFormat, Options},
};
use maix_kpu::{
    input::Input,
    model::{Model, Source},
    tensor::Dtype,
};

/// A folder of the real models, or `None`, said in a visible line, where they are absent.
pub fn testdata(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MAIX_KPU_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no test data at {}", path.display());
    None
}

/// The folder of everything that is built or fetched.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}

/// Numbers that are the same in every run.
pub struct Random(pub u64);

impl Random {
    /// The next number in 0..1.
    pub fn unit(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    /// A number of `low..high`.
    pub fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A whole number of `low..=high`.
    pub fn whole(&mut self, low: usize, high: usize) -> usize {
        low + ((high - low + 1) as f32 * self.unit()) as usize
    }

    /// One of the list.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.whole(0, list.len() - 1)]
    }

    /// `count` numbers of -limit..limit.
    pub fn list(&mut self, count: usize, limit: f32) -> Vec<f32> {
        (0..count).map(|_| self.within(-limit, limit)).collect()
    }
}

/// Smooth planes with values in 0..1 and some grain, as pictures have them; N, C, H, W.
pub fn picture(shape: &[usize], seed: u64) -> Vec<f32> {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (h, w) = (shape[2], shape[3]);
    let mut out = Vec::new();
    for _ in 0..shape[0] * shape[1] {
        let waves: Vec<[f32; 4]> = (0..5)
            .map(|_| {
                [
                    random.within(0.5, 6.0),
                    random.within(0.5, 6.0),
                    random.unit() * 6.3,
                    random.unit(),
                ]
            })
            .collect();
        let (low, high) = (random.within(0.0, 0.4), random.within(0.6, 1.0));
        let plane: Vec<f32> = (0..h * w)
            .map(|i| {
                let (y, x) = ((i / w) as f32 / h as f32, (i % w) as f32 / w as f32);
                waves
                    .iter()
                    .map(|[fy, fx, p, a]| a * (6.3 * (fy * y + fx * x) + p).sin())
                    .sum::<f32>()
                    + random.within(-0.3, 0.3)
            })
            .collect();
        let (least, most) =
            plane.iter().fold((f32::MAX, f32::MIN), |(l, m), &v| (l.min(v), m.max(v)));
        out.extend(
            plane.iter().map(|v| low + (v - least) / (most - least).max(1e-6) * (high - low)),
        );
    }
    out
}

/// Writes samples as a raw data set and returns its folder.
pub fn write_raw(name: &str, samples: &[Vec<f32>]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).unwrap();
    for (i, sample) in samples.iter().enumerate() {
        let bytes: Vec<u8> = sample.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(folder.join(format!("{i:04}.bin")), bytes).unwrap();
    }
    folder
}

/// With `SEEDS` set: keeps a model file in that folder, for the fuzzer to start from.
pub fn keep_as_seed(name: &str, model: &[u8]) {
    let Some(folder) = std::env::var_os("SEEDS") else { return };
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(Path::new(&folder).join(name), model).unwrap();
}

/// Options for a raw data set whose values the model takes as they are.
pub fn raw(folder: PathBuf) -> Options {
    Options { dataset: Some(folder), dataset_format: DatasetFormat::Raw, ..Options::default() }
}

/// The outputs of a kmodel for real inputs; `range` is what bytes 0 and 255 stand for, for a model
/// that takes bytes.
pub fn outputs(
    kmodel: &[u8],
    inputs: &[Vec<f32>],
    range: (f32, f32),
) -> Result<Vec<Vec<f32>>, maix_kpu::error::Error> {
    let source: &dyn Source = &kmodel;
    let model = Model::open(source)?;
    let mut fed = Vec::new();
    for (i, values) in inputs.iter().enumerate() {
        let scale = (range.1 - range.0) / 255.0;
        fed.push(match model.input(source, i as u32)?.dtype {
            Dtype::U8 => Fed::Bytes(
                values
                    .iter()
                    .map(|v| ((v - range.0) / scale).round().clamp(0.0, 255.0) as u8)
                    .collect(),
            ),
            Dtype::F32 => Fed::Floats(values.clone()),
        });
    }
    let fed: Vec<Input<'_>> = fed.iter().map(Fed::input).collect();
    run(kmodel, &fed, &mut ())
}

/// How near two lists of numbers are.
#[derive(Clone, Copy, Debug)]
pub struct Likeness {
    pub cosine: f64,
    pub largest: f64,
    pub decibels: f64,
}

/// Compares what a kmodel answers to each sample, values in this range, with its model in float.
pub fn against_float(
    name: &str,
    graph: &Graph,
    kmodel: &[u8],
    samples: &[Vec<f32>],
    range: (f32, f32),
) -> Likeness {
    let (mut expected, mut got) = (Vec::new(), Vec::new());
    for sample in samples {
        let wanted = eval::run(graph, &[sample], &mut |_, _| {});
        let found = outputs(kmodel, std::slice::from_ref(sample), range)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(wanted.len(), found.len(), "{name}");
        expected.extend(wanted.concat());
        got.extend(found.concat());
    }
    likeness(&expected, &got)
}

/// Compares `got` with what is expected.
pub fn likeness(expected: &[f32], got: &[f32]) -> Likeness {
    assert_eq!(expected.len(), got.len());
    let (mut dot, mut ee, mut gg, mut noise, mut largest) = (0f64, 0f64, 0f64, 0f64, 0f64);
    for (&e, &g) in expected.iter().zip(got) {
        let (e, g) = (f64::from(e), f64::from(g));
        dot += e * g;
        ee += e * e;
        gg += g * g;
        noise += (e - g).powi(2);
        largest = largest.max((e - g).abs());
    }
    let cosine =
        if ee == 0.0 && gg == 0.0 { 1.0 } else { dot / (ee * gg).sqrt().max(f64::MIN_POSITIVE) };
    Likeness { cosine, largest, decibels: 10.0 * (ee / noise).log10() }
}

/// With `UPDATE_DOCS` set: puts a table between its marks in docs/quantization.md.
pub fn update_docs(mark: &str, table: &str) {
    if std::env::var_os("UPDATE_DOCS").is_none() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/quantization.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {mark} -->\n");
    let (head, rest) = text.split_once(&begin).expect("the mark is there");
    let (_, tail) = rest.split_once("<!-- end -->").expect("the table ends");
    std::fs::write(path, format!("{head}{begin}{table}<!-- end -->{tail}")).unwrap();
}
