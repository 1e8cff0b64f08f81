//! Every real model that fits the memory gives the same bytes on the chip as on the desktop.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::Value;

use crate::board::{Programs, Setup};

const MODEL: usize = 0x10_0000;
const INPUT: usize = 0xB0_0000;

/// Needs 16.5 MB of memory; the original does not load it either.
const TOO_LARGE: &str = "v4_yolo20_nncase";

/// Loads a model, by streaming where it is too large, and runs it on raw input.
fn script(dtype: &str, bytes: usize, outputs: usize) -> String {
    format!(
        "import KPU as kpu, array, binascii
from Maix import utils
try:
    task = kpu.load({MODEL})
except Exception as error:
    if '2006' not in str(error):
        raise
    print('too large')
    task = kpu.load_flash({MODEL}, 0, 0x8000, 40000000)
data = utils.flash_read({INPUT}, {bytes})
if {dtype:?} == 'float32':
    data = array.array('f', data)
kpu.forward(task, data)
for index in range({outputs}):
    fmap = kpu.get_output(task, index)
    print(index, len(fmap), '%08x' % binascii.crc32(fmap))
"
    )
}

/// The models of the test data by name: `None`, and a line that says so, where there are none.
fn manifest() -> Option<(PathBuf, BTreeMap<String, Value>)> {
    let golden = transcripts::folder().join("golden");
    match fs::read(golden.join("manifest.json")) {
        Ok(bytes) => Some((golden, serde_json::from_slice(&bytes).expect("a manifest"))),
        Err(_) => {
            println!("skipped: there are no models in {}", golden.display());
            None
        }
    }
}

#[test]
fn models_give_the_same_bytes() {
    let (Some(programs), Some((golden, models))) = (Programs::find(), manifest()) else { return };
    let only = std::env::var("MODEL").unwrap_or_default();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, entry) in models {
        if !name.contains(&only) || name.starts_with("v5") {
            continue;
        }
        let read =
            |file: &Value| fs::read(golden.join(file.as_str().expect("a path"))).expect("a file");
        let input = &entry["inputs"][0];
        let case = entry["cases"].as_object().and_then(|cases| cases.values().next());
        let Some(case) = case else { continue };
        let data = read(&case["input"]["file"]);
        let outputs = case["outputs"].as_array().expect("outputs").len();
        let script = script(input["dtype"].as_str().expect("a type"), data.len(), outputs);
        let setup = Setup::flash([(MODEL, read(&entry["file"])), (INPUT, data)]);
        let chip = programs.on_chip(&setup, &script);
        let desktop = programs.on_desktop("maixpy", &setup, &script);
        let (streamed, answers) = match chip.strip_prefix("too large\n") {
            Some(answers) => (" streamed", answers),
            None => ("", &*chip),
        };
        count += 1;
        let same = match &*name {
            TOO_LARGE => answers.contains("2006, ERR_NO_MEM"),
            _ => answers == desktop && desktop.lines().count() == outputs,
        };
        println!("{name}{streamed}: {}", if same { "as it should" } else { "differs" });
        if !same {
            println!("chip:\n{chip}desktop:\n{desktop}");
            wrong.push(name);
        }
    }
    println!("{} of {count} models answer as they should", count - wrong.len());
    assert!(wrong.is_empty(), "other bytes, or none: {wrong:?}");
    assert!(count > 0, "no model was run");
}
