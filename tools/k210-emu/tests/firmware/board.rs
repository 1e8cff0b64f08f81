//! A board with our firmware, and the desktop program beside it.

use std::{
    cell::RefCell,
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
    time::Duration,
};

use k210_emu::{
    board::{Board, Fault},
    devices::flash::Flash,
    machine::{Limits, Machine, Stop},
    script::{Script, ScriptEnd},
};
use maix_kpu::kpu::Rounding;
use tempfile::TempDir;

/// Seconds that a script may take here.
const SECONDS: u64 = 600;
/// Files for `/flash` lie in flash at multiples of this while they are copied.
const SECTOR: usize = 0x1000;

/// What a script finds.
#[derive(Clone, Default)]
pub struct Setup {
    /// Contents of the flash by address.
    pub flash: Vec<(usize, Vec<u8>)>,
    /// Files by path, `/flash/...`.
    pub files: Vec<(String, Vec<u8>)>,
    /// What goes wrong on the chip.
    pub faults: Vec<Fault>,
    /// How the KPU rounds.
    pub rounding: Rounding,
    /// Contents of the fuses by address.
    pub fuses: Vec<(usize, Vec<u8>)>,
}

impl Setup {
    /// A setup of flash contents only.
    pub fn flash<const N: usize>(contents: [(usize, Vec<u8>); N]) -> Self {
        Self { flash: contents.into(), ..Default::default() }
    }
}

/// The firmware and the desktop program.
pub struct Programs {
    firmware: Vec<u8>,
    desktop: PathBuf,
}

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

/// The folder of the whole project.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the project.
pub fn file(path: &str) -> Vec<u8> {
    let path = project().join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Programs {
    /// `None`, and a line that says so, where one of them was not built.
    pub fn find() -> Option<Self> {
        // Tests lie in target/PROFILE/deps.
        let test = env::current_exe().expect("a test's path");
        let profile = test.ancestors().nth(2).expect("the profile's folder");
        let firmware = profile.with_file_name("firmware").join("micropython-k210.elf");
        let desktop = profile.join("maixpy");
        for (path, target) in [(&firmware, "make firmware"), (&desktop, "scripts/maixpy.sh")] {
            if !path.is_file() {
                println!("skipped: there is no {} ({target} builds it)", path.display());
                return None;
            }
        }
        Some(Self { firmware: fs::read(firmware).expect("the firmware"), desktop })
    }

    /// What a script prints on the chip; an exception's traceback stands at the end.
    pub fn on_chip(&self, setup: &Setup, script: &str) -> String {
        let (mut machine, output) = self.chip(setup, script);
        finish(&mut machine, &output)
    }

    /// The same with allocation `nth` (from 0) of the KPU module failing, and the number of all.
    pub fn on_chip_without(&self, nth: u64, setup: &Setup, script: &str) -> (String, u64) {
        let (mut machine, output) = self.chip(setup, script);
        let calls = machine.fail_call("memalign", nth).expect("the allocator");
        (finish(&mut machine, &output), calls.get())
    }

    /// A chip that will run a script, and where its output goes.
    fn chip(&self, setup: &Setup, script: &str) -> (Machine, Shared) {
        let mut chip = Flash::new();
        let mut end = SECTOR;
        for (address, bytes) in &setup.flash {
            chip.bytes_mut()[*address..][..bytes.len()].copy_from_slice(bytes);
            end = end.max((address + bytes.len()).next_multiple_of(SECTOR));
        }
        let mut copy = String::from(COPY);
        for (path, bytes) in &setup.files {
            chip.bytes_mut()[end..][..bytes.len()].copy_from_slice(bytes);
            copy += &format!("_copy({end}, {}, '{path}')\n", bytes.len());
            end = (end + bytes.len()).next_multiple_of(SECTOR);
        }
        copy += "del _copy\n";
        let output = Shared::default();
        let console = Script::new([&copy, script], Box::new(io::sink()), Box::new(output.clone()));
        let mut board = Board::new(chip, Box::new(console), false);
        board.set_rounding(setup.rounding);
        setup.faults.iter().for_each(|&fault| board.inject(fault));
        for (address, bytes) in &setup.fuses {
            board.fuses_mut()[*address..][..bytes.len()].copy_from_slice(bytes);
        }
        let machine = Machine::new(self.firmware.clone(), board, false).expect("a chip");
        (machine, output)
    }

    /// What a script prints on the desktop.
    pub fn on_desktop(&self, firmware: &str, setup: &Setup, script: &str) -> String {
        let folder = TempDir::new().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mut command = Command::new(&self.desktop);
        command.args(["--firmware", firmware, "--timeout", "120", "--spiffs"]).arg(path("flash"));
        fs::create_dir(path("flash")).expect("a folder");
        if setup.rounding == Rounding::HalfUp {
            command.arg("--half-up");
        }
        for (name, bytes) in &setup.files {
            fs::write(path(&name[1..]), bytes).expect("a file");
        }
        for (address, bytes) in &setup.flash {
            let file = path(&format!("{address:x}.bin"));
            fs::write(&file, bytes).expect("a file");
            command.arg("--flash").arg(format!("{address:#x}={}", file.display()));
        }
        let script_path = path("script.py");
        fs::write(&script_path, script).expect("a script");
        let output = command.arg(&script_path).output().expect("the desktop program");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text)
            .replace('\r', "")
            .replace(&script_path.display().to_string(), "<stdin>")
    }

    /// Fails where the chip and the desktop print different lines; gives what they print.
    pub fn compare(&self, setup: &Setup, script: &str) -> String {
        let (chip, desktop) =
            (self.on_chip(setup, script), self.on_desktop("maixpy", setup, script));
        assert_eq!(chip, desktop, "left: on the chip, right: on the desktop");
        chip
    }
}

/// Runs a chip's script to its end; what it printed.
fn finish(machine: &mut Machine, output: &Shared) -> String {
    let limits = Limits { time: Some(Duration::from_secs(SECONDS)), instructions: None };
    let stop = machine.run(limits);
    let mut text = String::from_utf8_lossy(&output.0.borrow()).replace('\r', "");
    match stop {
        Stop::Script(ScriptEnd::Finished) => {}
        Stop::Script(ScriptEnd::Raised(traceback)) => text += &traceback,
        stop => panic!("{stop}\n  at {}\n{text}", machine.place()),
    }
    text
}

/// Copies a file from the flash to `/flash`.
const COPY: &str = "
def _copy(address, size, path):
    from Maix import utils
    with open(path, 'wb') as file:
        for begin in range(0, size, 4096):
            file.write(utils.flash_read(address + begin, min(4096, size - begin)))
";
