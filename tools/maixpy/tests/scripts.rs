//! Runs `tests/micropython/*.py`, the examples of docs/kpu-module.md and those in `examples/` on the
//! desktop program.
//!
//! A script's first lines say what it needs: `# maixpy: OPTIONS`. In them `SAMPLES/` are the models
//! of `tools/samples`, `DATA/` is the folder of the real test data, and `NEW/` is an empty folder.
//! What the script prints is in the file beside it that ends in `.exp` (`UPDATE=1` writes it).

mod common;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use common::project;
use tempfile::TempDir;

struct Board {
    program: PathBuf,
    folder: TempDir,
}

impl Board {
    fn new() -> Option<Self> {
        let board = Self { program: common::program()?, folder: TempDir::new().expect("a folder") };
        common::write_samples(&board.path("samples"));
        fs::create_dir(board.path("new")).expect("a folder");
        Some(board)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The options that a script asks for; `None` where it wants data that are not there.
    fn options(&self, script: &str) -> Option<Vec<String>> {
        let data = transcripts::folder();
        let lines = script.lines().map_while(|line| line.strip_prefix("# maixpy: "));
        let options: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        if options.iter().any(|option| option.contains("DATA/")) && !data.is_dir() {
            return None;
        }
        let place = |option: &&str| {
            option
                .replace("DATA/", &format!("{}/", data.display()))
                .replace("SAMPLES/", &format!("{}/", self.path("samples").display()))
                .replace("NEW/", &format!("{}/", self.path("new").display()))
                .replace("PROJECT/", &format!("{}/", project().display()))
        };
        Some(options.iter().map(place).collect())
    }

    fn run(&self, options: &[String], script: &Path) -> String {
        common::shown(&common::run(&self.program, options, script))
    }
}

/// Without the lines of memtest and of the collector: their numbers and moments are the machine's.
fn without_heap(printed: &str) -> String {
    let is_heap = |line: &&str| line.starts_with("###free") || line.contains("__del__\n");
    printed.split_inclusive('\n').filter(|line| !is_heap(line)).collect()
}

/// The files of a folder that end in `ending`, in the order of their names.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one").path());
    let mut files: Vec<_> =
        entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    files
}

#[test]
fn scripts_print_what_is_expected() {
    let mut wrong = Vec::new();
    for script in files(&project().join("tests/micropython"), ".py") {
        let Some(board) = Board::new() else { return };
        let name = script.file_name().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&script).expect("a script");
        let Some(options) = board.options(&text) else {
            println!("skipped: {name} wants data that are not there");
            continue;
        };
        let printed = without_heap(&board.run(&options, &script));
        let expected = script.with_extension("exp");
        if env::var_os("UPDATE").is_some() {
            fs::write(&expected, &printed).expect("the expected output");
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if printed != expected {
            println!("{name} printed:\n{printed}");
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "not what is expected: {wrong:?}");
}

/// A fenced block: what stands behind the fence, and its lines.
fn blocks(document: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = document.split("```").collect();
    parts.iter().skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect()
}

#[test]
fn examples_of_the_reference_print_what_it_says() {
    let Some(board) = Board::new() else { return };
    let document = fs::read_to_string(project().join("docs/kpu-module.md")).expect("the reference");
    let mnist = project().join("examples/mnist");
    let flash = board.path("new");
    fs::copy(mnist.join("mnist_uint8.kmodel"), flash.join("digits.kmodel")).expect("a model");
    let mut options: Vec<String> = vec!["--spiffs".into(), flash.display().to_string()];
    options.extend(["--sd".into(), mnist.join("pictures").display().to_string()]);
    for (address, model) in [(0x300000, "mnist_uint8"), (0x400000, "mnist_float")] {
        let file = mnist.join(model).with_extension("kmodel");
        options.extend(["--flash".into(), format!("{address:#x}={}", file.display())]);
    }
    let grids = board.path("samples/v4_grids.kmodel");
    options.extend(["--flash".into(), format!("0x700000={}", grids.display())]);
    let data = transcripts::folder();
    let picture = data.join("transcripts/inputs/face_320x240.png");
    let has_faces = fs::copy(picture, flash.join("face.png")).is_ok();
    let model = data.join("golden/v3_facedetect_maix");
    if has_faces {
        let model = files(&model, ".kmodel").pop().expect("a model");
        options.extend(["--flash".into(), format!("0x500000={}", model.display())]);
    }
    let mut count = 0;
    let mut blocks = blocks(&document).into_iter().peekable();
    while let Some((kind, code)) = blocks.next() {
        if kind == "python face" && !has_faces {
            println!("skipped: the model and picture of a face are not there");
            continue;
        }
        if !kind.starts_with("python") {
            continue;
        }
        let (_, expected) = blocks.next_if(|(kind, _)| *kind == "text").expect("what it prints");
        let script = board.path("example.py");
        fs::write(&script, code).expect("a script");
        let printed = without_heap(&board.run(&options, &script));
        assert_eq!(printed, expected, "of the example:\n{code}");
        count += 1;
    }
    assert!(count > 8, "{count} examples");
}

#[test]
fn digits_are_read_in_three_ways() {
    let Some(board) = Board::new() else { return };
    let script = project().join("examples/mnist/digits.py");
    let options = "--flash 0x300000=PROJECT/examples/mnist/mnist_uint8.kmodel \
        --flash 0x400000=PROJECT/examples/mnist/mnist_float.kmodel \
        --sd PROJECT/examples/mnist/pictures --spiffs NEW/";
    let options = board.options(&format!("# maixpy: {options}")).expect("no data");
    let printed = board.run(&options, &script);
    assert!(printed.ends_with("10 of 10 are right by all three ways\n"), "{printed}");
    assert!(board.path("new/digits.bmp").is_file());
}

/// Ctrl-C while a model runs ends the run; the script goes on and can run the model again.
#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_run() {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };
    let Some(board) = Board::new() else { return };
    let script = board.path("endless.py");
    let code = "import KPU as kpu\ntask = kpu.load(0x300000)\nprint('runs')\ntry:\n    while True:\n        \
        kpu.forward(task, bytes(784))\nexcept KeyboardInterrupt:\n    print('interrupted')\n\
        print(kpu.forward(task, bytes(784)).ch())\n";
    fs::write(&script, code).expect("a script");
    let model = project().join("examples/mnist/mnist_float.kmodel");
    let mut child = common::command(&board.program, board.folder.path())
        .args(["--flash", &format!("0x300000={}", model.display())])
        .arg(&script)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the desktop program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut line = || lines.next().expect("a line").expect("readable");
    assert_eq!(line(), "runs");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    assert_eq!(line(), "interrupted");
    assert_eq!(line(), "10");
    assert!(child.wait().expect("an end").success());
}
