//! Calling the program, folders for its files, models to feed it with.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Runs the program.
pub fn kmodel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kmodel")).args(arguments).output().unwrap()
}

/// Runs the program, which must succeed, and gives what it printed.
pub fn printed(arguments: &[&str]) -> String {
    let output = kmodel(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).to_string()
}

/// Runs the program, which must print JSON.
pub fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&printed(arguments)).unwrap()
}

/// Runs the program, which must fail with exit status 1, a line that says what and a line that says
/// what to do; gives both.
pub fn failed(arguments: &[&str]) -> [String; 2] {
    let output = kmodel(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let lines: Vec<&str> = text(&output.stderr).lines().collect();
    let [what, hint] = lines[..] else { panic!("not two lines: {lines:?}") };
    assert!(what.starts_with("error: ") && hint.starts_with("  hint: "), "{lines:?}");
    [what.to_string(), hint.to_string()]
}

pub fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// A folder that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("kmodel-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_string()
    }

    /// Writes a file and gives its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Saves a picture of that size, with a gradient, and gives its path.
    pub fn picture(&self, name: &str, width: u32, height: u32) -> String {
        let path = self.path(name);
        let pixel = |x, y| image::Rgb([(x * 11 % 256) as u8, (y * 7 % 256) as u8, 100]);
        image::RgbImage::from_fn(width, height, pixel).save(&path).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The folder of a real model, where the test data is there.
pub fn golden(model: &str) -> Option<PathBuf> {
    test_data(&format!("golden/{model}"))
}

/// A path in the test data, where it is there.
pub fn test_data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MAIX_KPU_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no test data at {}", path.display());
    None
}

/// A file of the project's examples.
pub fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    path.to_str().unwrap().to_string()
}

/// The floats of a file.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}
