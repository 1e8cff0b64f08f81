//! LiteRT, TensorFlow Lite's own interpreter, as the reference for `.tflite` files (`make litert`
//! installs it).

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{likeness, target};

/// The Python that has LiteRT, or `None`, said in a visible line.
pub fn python() -> Option<PathBuf> {
    let python = target().join("litert/bin/python");
    if python.exists() {
        return Some(python);
    }
    eprintln!("skipped: no LiteRT at {}; make litert installs it", python.display());
    None
}

/// What LiteRT answers.
pub struct Reference {
    /// With its fast kernels: all outputs of a sample one behind the other, sample after sample; images
    /// in planes.
    pub answers: Vec<f32>,
    /// The largest difference between its fast and its plain kernels.
    pub between_kernels: f64,
}

impl Reference {
    /// Runs a model.
    pub fn of(python: &Path, name: &str, model: &[u8], samples: &[Vec<f32>]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("litert_{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        let [file, inputs, outputs] =
            ["model.tflite", "inputs", "outputs"].map(|name| folder.join(name));
        std::fs::write(&file, model).unwrap();
        let bytes: Vec<u8> = samples.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(&inputs, bytes).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/litert.py");
        let [answers, plain] = ["fast", "plain"].map(|kernels| {
            let mut command = Command::new(python);
            command.arg(&script).args([&file, &inputs, &outputs]).arg(kernels);
            let result = command.output().unwrap();
            assert!(result.status.success(), "{name}: {}", String::from_utf8_lossy(&result.stderr));
            let answers = std::fs::read(&outputs).unwrap();
            let floats = answers.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
            floats.collect::<Vec<f32>>()
        });
        Self { between_kernels: likeness(&answers, &plain).largest, answers }
    }

    /// How far another single-precision answer may be: 1e-4 of the largest value, or where a model
    /// magnifies the last bits of sums, twice the difference that LiteRT has with itself.
    pub fn tolerance(&self) -> f64 {
        let most = self.answers.iter().fold(1.0, |m, v| f64::from(v.abs()).max(m));
        (1e-4 * most).max(2.0 * self.between_kernels)
    }
}
