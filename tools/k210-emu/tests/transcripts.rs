//! Replays recorded dialogues on the original firmwares, where ELF files of them are given.

use std::{
    cell::RefCell,
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use k210_emu::{
    board::Board,
    devices::flash::{self, Flash},
    machine::{Limits, Machine, Stop},
    script::{Script, ScriptEnd},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Where files for the firmware's file system lie in flash while a script copies them.
const STAGING: usize = 0x80_0000;

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a script; what it printed (the traceback behind an empty line), and the flash afterwards.
fn run(elf: &[u8], flash: &[u8], script: &str) -> Result<(String, Vec<u8>), String> {
    let mut chip = Flash::new();
    chip.bytes_mut().copy_from_slice(flash);
    let output = Shared::default();
    let console = Script::new(script.as_bytes(), Box::new(io::sink()), Box::new(output.clone()));
    let board = Board::new(chip, Box::new(console), false);
    let mut machine = Machine::new(elf.to_vec(), board, false).map_err(|e| e.to_string())?;
    let stop = machine.run(Limits { time: Some(Duration::from_secs(60)), instructions: None });
    let mut text = String::from_utf8_lossy(&output.0.borrow()).into_owned();
    match stop {
        Stop::Script(ScriptEnd::Finished) => {}
        Stop::Script(ScriptEnd::Raised(traceback)) => text += &format!("\n{traceback}"),
        stop => return Err(format!("{stop}\n  at {}\n{text}", machine.place())),
    }
    let flash = machine.board().flash().map_or(Vec::new(), |chip| chip.bytes().to_vec());
    Ok((text, flash))
}

/// The content that an entry of the index names.
fn content(shared: &Path, entry: &Value) -> Vec<u8> {
    let wanted = entry["sha256"].as_str().expect("a hash");
    let candidates: Vec<PathBuf> = match entry["file"].as_str() {
        Some(file) => vec![shared.join("transcripts").join(file)],
        None => {
            let golden = shared.join("golden").join(entry["golden"].as_str().expect("a name"));
            let files = fs::read_dir(golden).expect("golden data");
            files.map(|file| file.expect("an entry").path()).filter(|p| p.is_file()).collect()
        }
    };
    let hash = |bytes: &[u8]| -> String {
        Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
    };
    let contents = candidates.iter().map(|path| fs::read(path).expect("readable"));
    contents.into_iter().find(|bytes| hash(bytes) == wanted).expect("a file with that hash")
}

/// A flash chip with the topic's files in the firmware's file system and its raw data in place.
fn prepare(elf: &[u8], formatted: &[u8], shared: &Path, topic: &Value) -> Result<Vec<u8>, String> {
    let mut flash = formatted.to_vec();
    let files = topic["files"].as_object().expect("files");
    if !files.is_empty() {
        // MaixPy's and CanMV's name for the module.
        let mut script =
            "try: from Maix import utils\nexcept ImportError: from maix import utils\n".to_owned();
        let mut place = STAGING;
        for (name, entry) in files {
            let bytes = content(shared, entry);
            flash[place..][..bytes.len()].copy_from_slice(&bytes);
            script += &format!("f = open('{name}', 'wb')\n");
            for begin in (0..bytes.len()).step_by(4096) {
                let size = (bytes.len() - begin).min(4096);
                script += &format!("f.write(utils.flash_read({}, {size}))\n", place + begin);
            }
            script += "f.close()\n";
            place += bytes.len().next_multiple_of(4096);
        }
        let output;
        (output, flash) = run(elf, &flash, &script)?;
        if output.contains("Error") {
            return Err(format!("the files cannot be written:\n{output}"));
        }
        flash[STAGING..place].fill(0xFF);
    }
    for (address, entry) in topic["flash"].as_object().expect("flash") {
        let address = usize::from_str_radix(&address[2..], 16).expect("an address");
        let bytes = content(shared, entry);
        flash[address..][..bytes.len()].copy_from_slice(&bytes);
    }
    Ok(flash)
}

/// What differs from the recorded lines; nothing if all is well.
fn compare(output: &str, recorded: &str, ignored: &[u64]) -> String {
    let (output, recorded): (Vec<_>, Vec<_>) =
        (output.lines().collect(), recorded.lines().collect());
    let mut text = String::new();
    for n in 0..output.len().max(recorded.len()) {
        let (got, wanted) = (output.get(n), recorded.get(n));
        if got != wanted && !ignored.contains(&(n as u64 + 1)) {
            text += &format!("  line {}: {wanted:?} was recorded, not {got:?}\n", n + 1);
        }
    }
    text
}

fn replay(firmware: &str, variable: &str) {
    let Some(elf) = env::var_os(variable) else {
        println!("skipped: {variable} names no firmware");
        return;
    };
    let shared = env::var_os("MAIX_KPU_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let Ok(index) = fs::read(shared.join("transcripts/index.json")) else {
        println!("skipped: there are no transcripts in {}", shared.display());
        return;
    };
    let elf = fs::read(elf).expect("the firmware is readable");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let only = env::var("TOPIC").unwrap_or_default();
    // The first start formats the file system.
    let (_, formatted) = run(&elf, &vec![0xFF; flash::BYTES], "").expect("the firmware starts");
    let (mut right, mut wrong) = (0, Vec::new());
    for topic in index["topics"].as_array().expect("topics") {
        let name = topic["topic"].as_str().expect("a name");
        let is_replayable = topic["ends"] == "normal" && topic["fed_input_override"].is_null();
        if !name.starts_with(&format!("{firmware}/")) || !is_replayable || !name.contains(&only) {
            continue;
        }
        let folder = shared.join("transcripts").join(name);
        let text = |file| fs::read_to_string(folder.join(file)).expect("a transcript");
        let ignored: Vec<u64> = topic["lines_with_addresses_or_heap"]
            .as_array()
            .map_or(Vec::new(), |lines| lines.iter().filter_map(Value::as_u64).collect());
        let differences = prepare(&elf, &formatted, &shared, topic)
            .and_then(|flash| run(&elf, &flash, &text("script.py")))
            .map_or_else(
                |error| error,
                |(output, _)| compare(&output, &text("output.txt"), &ignored),
            );
        if differences.is_empty() {
            right += 1;
        } else {
            println!("{name}:\n{differences}");
            wrong.push(name);
        }
    }
    println!("{right} of {} dialogues are as recorded", right + wrong.len());
    assert!(wrong.is_empty(), "others than recorded: {wrong:?}");
    assert!(right > 0, "nothing was replayed");
}

#[test]
fn maixpy() {
    replay("maixpy", "MAIXPY_ELF");
}

#[test]
fn maixpy_without_v4() {
    replay("maixpy_v3only", "MAIXPY_V3_ELF");
}

#[test]
fn canmv() {
    replay("canmv", "CANMV_ELF");
}
