//! Replays the recorded dialogues with the original firmwares on the desktop program.
//!
//! Every line that differs must be explained by the table of our module's differences, every line of
//! which must explain something; docs/compatibility.md is made of it (`UPDATE_DOCS=1`).

mod common;
mod compatibility;
#[path = "originals_table/mod.rs"]
mod originals;

use std::{cell::RefCell, collections::BTreeSet, fs, path::Path};

use tempfile::TempDir;
use transcripts::{Differences, Index, Topic, judge};

/// What one dialogue printed here, with the recorded traceback's file name.
fn replay(program: &Path, index: &Index, topic: &Topic) -> Vec<String> {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let flash_folder = path("flash");
    fs::create_dir(&flash_folder).expect("a folder");
    for (name, content) in &topic.files {
        let name = name.strip_prefix("/flash/").expect("a file of /flash");
        let bytes = index.content(content).expect("the file's bytes");
        fs::write(flash_folder.join(name), bytes).expect("a file");
    }
    let firmware = if topic.name.starts_with("canmv") { "canmv" } else { "maixpy" };
    let mut options = vec![
        "--firmware".to_string(),
        firmware.to_string(),
        "--spiffs".to_string(),
        flash_folder.display().to_string(),
    ];
    for (address, content) in topic.flash() {
        let file = path(&format!("{address:x}.bin"));
        fs::write(&file, index.content(content).expect("the flash's bytes")).expect("a file");
        options.extend(["--flash".to_string(), format!("{address:#x}={}", file.display())]);
    }
    let script = path("script.py");
    fs::write(&script, script_with_recorded_inputs(index, topic, &flash_folder)).expect("a script");
    let output = common::run(program, &options, &script);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).replace(&script.display().to_string(), "<stdin>");
    // The console of a board shows "\r\n"; recordings have no "\r".
    text.replace('\r', "").lines().map(str::to_string).collect()
}

/// The script; where the recording machine put other bytes in place of the pictures, it feeds them.
fn script_with_recorded_inputs(index: &Index, topic: &Topic, flash: &Path) -> String {
    let mut script = index.script(topic);
    if topic.fed_input_override.is_empty() {
        return script;
    }
    let mut names = Vec::new();
    for (number, input) in topic.fed_input_override.iter().enumerate() {
        let name = format!("fed_{number}.bin");
        fs::copy(transcripts::folder().join(input), flash.join(&name)).expect("an input");
        names.push(format!("'/flash/{name}'"));
    }
    script = script.replace("run_with_output(im)", "run_with_output(next(fed))");
    format!("fed = iter([{}])\n{script}", names.join(", "))
}

#[test]
fn differences_are_documented() {
    compatibility::check();
}

#[test]
fn answers_are_as_recorded() {
    let known = Differences::of_module();
    let (Some(program), Some(index)) = (common::program(), Index::read()) else { return };
    let wrong = RefCell::new(BTreeSet::new());
    let mut count = 0;
    for firmware in ["maixpy", "canmv", "maixpy_v3only"] {
        for topic in index.of(firmware) {
            count += 1;
            let recorded: Vec<String> = index.output(topic).lines().map(str::to_string).collect();
            let printed = replay(&program, &index, topic);
            let unexplained = judge(topic, &recorded, &printed, &[&known]);
            if !unexplained.is_empty() {
                println!("{} ({}):\n{}", topic.name, topic.about, unexplained.concat());
                wrong.borrow_mut().insert(topic.name.clone());
            }
        }
    }
    let wrong = wrong.into_inner();
    println!("{} of {count} dialogues are as recorded, or explained", count - wrong.len());
    assert!(wrong.is_empty(), "not as recorded: {wrong:?}");
    assert!(count > 0, "nothing was replayed");
    if std::env::var_os("TOPIC").is_none() {
        assert_eq!(known.unused(), Vec::<String>::new(), "these explain nothing");
    }
}
