//! Runs the public scripts of the original firmwares, unchanged, where a copy of them is given:
//! `MAIX_KPU_SCRIPTS` names a folder with `maixpy` (sipeed/MaixPy-v1_scripts) and `canmv`
//! (kendryte/canmv_examples). `originals.toml` says what each needs and shows.

mod common;
mod originals_table;

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use originals_table::{Script, read};
use regex::Regex;
use tempfile::TempDir;

struct Places<'p> {
    scripts: &'p Path,
    folder: &'p Path,
}

impl Places<'_> {
    fn file(&self, name: &str) -> String {
        name.replace("DATA/", &format!("{}/", transcripts::folder().display()))
            .replace("SCRIPTS/", &format!("{}/", self.scripts.display()))
            .replace("SAMPLES/", &format!("{}/samples/", self.folder.display()))
    }

    fn copy(&self, files: &BTreeMap<String, String>, to: &Path) {
        for (name, from) in files {
            let to = to.join(name);
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::copy(self.file(from), to).unwrap_or_else(|error| panic!("{from}: {error}"));
        }
    }
}

/// Bytes in groups of four, each the other way round.
fn swap(file: &str, to: &Path) {
    let mut bytes = fs::read(file).expect("a model");
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    fs::write(to, bytes).expect("a model");
}

/// What is wrong with a run; nothing if all is well.
fn check(program: &Path, script: &Script, scripts: &Path) -> String {
    let folder = TempDir::new().expect("a folder");
    let places = Places { scripts, folder: folder.path() };
    let path = |name: &str| folder.path().join(name);
    common::write_samples(&path("samples"));
    for name in ["sd", "here", "lcd"] {
        fs::create_dir(path(name)).expect("a folder");
    }
    places.copy(&script.sd, &path("sd"));
    places.copy(&script.here, &path("here"));
    let firmware = script.path.split('/').next().expect("a firmware");
    let frames = script.frames.to_string();
    let mut options: Vec<String> =
        ["--firmware", firmware, "--frames", &frames, "--camera", &places.file(&script.camera)]
            .map(str::to_string)
            .into();
    for (option, name) in [("--sd", "sd"), ("--lcd", "lcd")] {
        options.extend([option.to_string(), path(name).display().to_string()]);
    }
    if !script.press.is_empty() {
        options.extend(["--press".to_string(), script.press.clone()]);
    }
    for (address, file) in &script.flash {
        let mut file = places.file(file);
        if script.swapped {
            swap(&file, &path("swapped"));
            file = path("swapped").display().to_string();
        }
        options.extend(["--flash".to_string(), format!("{address}={file}")]);
    }
    let run = |file: &Path| {
        common::command(program, &path("here"))
            .args(&options)
            .arg(file)
            .output()
            .expect("it starts")
    };
    if !script.before.is_empty() {
        fs::write(path("before.py"), &script.before).expect("a script");
        let output = run(&path("before.py"));
        if !output.status.success() {
            return format!("before it: {}", common::shown(&output));
        }
    }
    let pattern = Regex::new(&script.prints).expect("a pattern");
    if script.stop {
        let mut child = common::command(program, &path("here"))
            .args(&options)
            .arg(scripts.join(&script.path))
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let is_printed = lines.any(|line| line.is_ok_and(|line| pattern.is_match(&line)));
        child.kill().and_then(|()| child.wait()).expect("an end");
        return if is_printed { String::new() } else { "the pattern is not printed".to_string() };
    }
    let output = run(&scripts.join(&script.path));
    let printed = common::shown(&output);
    let shown = fs::read_dir(path("lcd")).expect("a folder").count();
    let is_fine = output.status.success() != script.fails
        && pattern.is_match(&printed)
        && (script.fails || shown >= script.frames as usize);
    if is_fine { String::new() } else { format!("{} frames on the LCD\n{printed}", shown) }
}

#[test]
fn original_scripts_run() {
    let Some(program) = common::program() else { return };
    let Some(scripts) = env::var_os("MAIX_KPU_SCRIPTS") else {
        println!("skipped: MAIX_KPU_SCRIPTS names no copy of the original scripts");
        return;
    };
    if !transcripts::folder().is_dir() {
        println!("skipped: there is no test data in {}", transcripts::folder().display());
        return;
    }
    let only = env::var("SCRIPT").unwrap_or_default();
    let mut wrong = Vec::new();
    for script in read().into_iter().filter(|script| script.path.contains(&only)) {
        let complaint = check(&program, &script, Path::new(&scripts));
        if !complaint.is_empty() {
            println!("{}: {complaint}", script.path);
            wrong.push(script.path);
        }
    }
    assert!(wrong.is_empty(), "these do not run: {wrong:?}");
}
