//! Replays recorded dialogues on the original firmwares, and on those with our archive or our module in
//! them, where ELF files are given.

use std::{
    cell::RefCell,
    env, fs,
    io::{self, Write},
    rc::Rc,
    time::Duration,
};

use k210_emu::{
    board::Board,
    devices::flash::{self, Flash},
    machine::{Limits, Machine, Stop},
    script::{Script, ScriptEnd},
};
use transcripts::{Differences, End, Index, Topic, judge};

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

/// Runs a script; what it printed, the traceback last, and the flash afterwards.
fn run(elf: &[u8], flash: &[u8], script: &str) -> Result<(String, Vec<u8>), String> {
    let mut chip = Flash::new();
    chip.bytes_mut().copy_from_slice(flash);
    let output = Shared::default();
    let console = Script::new([script], Box::new(io::sink()), Box::new(output.clone()));
    let board = Board::new(chip, Box::new(console), false);
    let mut machine = Machine::new(elf.to_vec(), board, false).map_err(|e| e.to_string())?;
    let stop = machine.run(Limits { time: Some(Duration::from_secs(600)), instructions: None });
    let mut text = String::from_utf8_lossy(&output.0.borrow()).into_owned();
    match stop {
        Stop::Script(ScriptEnd::Finished) => {}
        Stop::Script(ScriptEnd::Raised(traceback)) => text += &traceback,
        stop => return Err(format!("{stop}\n  at {}\n{text}", machine.place())),
    }
    let flash = machine.board().flash().map_or(Vec::new(), |chip| chip.bytes().to_vec());
    Ok((text, flash))
}

/// A flash chip with the topic's files in the firmware's file system and its raw data in place.
fn prepare(elf: &[u8], formatted: &[u8], index: &Index, topic: &Topic) -> Result<Vec<u8>, String> {
    let mut flash = formatted.to_vec();
    let content = |entry| index.content(entry).map_err(|e| e.to_string());
    if !topic.files.is_empty() {
        // MaixPy's and CanMV's name for the module.
        let mut script =
            "try: from Maix import utils\nexcept ImportError: from maix import utils\n".to_owned();
        let mut place = STAGING;
        for (name, entry) in &topic.files {
            let bytes = content(entry)?;
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
    for (address, entry) in topic.flash() {
        let bytes = content(entry)?;
        flash[address..][..bytes.len()].copy_from_slice(&bytes);
    }
    Ok(flash)
}

/// What differs from the recorded lines; nothing if all is well.
fn compare(output: &str, recorded: &str, topic: &Topic) -> String {
    // Recordings have an empty line before a traceback.
    let output = output.replacen("Traceback", "\nTraceback", 1);
    let (output, recorded): (Vec<_>, Vec<_>) =
        (output.lines().collect(), recorded.lines().collect());
    let mut text = String::new();
    for n in 0..output.len().max(recorded.len()) {
        let (got, wanted) = (output.get(n), recorded.get(n));
        if got != wanted && !topic.incidental_lines.contains(&(n + 1)) {
            text += &format!("  line {}: {wanted:?} was recorded, not {got:?}\n", n + 1);
        }
    }
    text
}

/// What of ours is in a firmware.
struct Ours<'t> {
    /// What may differ therefore.
    known: &'t [&'t Differences],
    /// Dialogues in which the original's module, if it is still there, dies.
    dies: &'t [&'t str],
}

impl Ours<'_> {
    /// What neither was recorded nor is known to differ.
    fn compare(
        &self,
        result: Result<(String, Vec<u8>), String>,
        recorded: &str,
        topic: &Topic,
    ) -> String {
        let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
        match (result, self.dies.contains(&&*topic.name)) {
            (Ok((output, _)), false) => {
                judge(topic, &lines(recorded), &lines(&output), self.known).concat()
            }
            (Err(error), false) => error,
            (Ok(_), true) => "  the original's module did not die\n".to_string(),
            (Err(_), true) => String::new(),
        }
    }
}

/// Replays what was recorded on one firmware on the ELF that a variable names; false where it names
/// none. Where nothing of ours is in it, every byte must be the same, and dialogues are left out that
/// the original does not come to the end of.
fn replay(firmware: &str, variable: &str, ours: Option<&Ours>) -> bool {
    let Some(elf) = env::var_os(variable) else {
        println!("skipped: {variable} names no firmware");
        return false;
    };
    let Some(index) = Index::read() else { return false };
    let elf = fs::read(elf).expect("the firmware is readable");
    // The first start formats the file system.
    let (_, formatted) = run(&elf, &vec![0xFF; flash::BYTES], "").expect("the firmware starts");
    let (mut right, mut wrong) = (0, Vec::new());
    for topic in index.of(firmware) {
        let ends = topic.ends == End::Normal || ours.is_some();
        if !ends || !topic.fed_input_override.is_empty() {
            continue;
        }
        let name = &topic.name;
        let recorded = index.output(topic);
        let result = prepare(&elf, &formatted, &index, topic)
            .and_then(|flash| run(&elf, &flash, &index.script(topic)));
        let differences = match ours {
            Some(ours) => ours.compare(result, &recorded, topic),
            None => {
                result.map_or_else(|error| error, |(output, _)| compare(&output, &recorded, topic))
            }
        };
        if differences.is_empty() {
            right += 1;
        } else {
            println!("{name}:\n{differences}");
            wrong.push(name);
        }
    }
    println!("{variable}: {right} of {} dialogues are as recorded", right + wrong.len());
    assert!(wrong.is_empty(), "others than recorded: {wrong:?}");
    assert!(right > 0, "nothing was replayed");
    env::var_os("TOPIC").is_none()
}

#[test]
fn maixpy() {
    replay("maixpy", "MAIXPY_ELF", None);
}

#[test]
fn maixpy_without_v4() {
    replay("maixpy_v3only", "MAIXPY_V3_ELF", None);
}

#[test]
fn canmv() {
    replay("canmv", "CANMV_ELF", None);
}

/// Our archive in place of the original's, behind the original's module.
#[test]
fn our_archive() {
    let (module, archive) = (Differences::of_module(), Differences::of_archive());
    let ours = Ours {
        known: &[&archive, &module],
        dies: &["maixpy/yolo2_before_init", "maixpy/after_deinit_image", "canmv/before_load"],
    };
    let firmwares = [
        ("maixpy", "MAIXPY_ARCHIVE_ELF"),
        ("maixpy_v3only", "MAIXPY_V3_ARCHIVE_ELF"),
        ("canmv", "CANMV_ARCHIVE_ELF"),
    ];
    let all = firmwares.map(|(firmware, variable)| replay(firmware, variable, Some(&ours)));
    if all == [true; 3] {
        assert_eq!(archive.unused(), Vec::<String>::new(), "these explain nothing");
    }
}

/// Our module in place of the original's.
#[test]
fn our_module() {
    let ours = Ours { known: &[&Differences::of_module()], dies: &[] };
    for (firmware, variable) in [("maixpy", "MAIXPY_MODULE_ELF"), ("canmv", "CANMV_MODULE_ELF")] {
        replay(firmware, variable, Some(&ours));
    }
}
