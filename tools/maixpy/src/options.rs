//! The command line of `maixpy`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Runs a MaixPy or CanMV script on a PC.
///
/// The script sees a board: 16 MiB of flash, /flash, /sd, a camera, an LCD and the BOOT key are
/// what the options say. Ctrl-C raises KeyboardInterrupt in the script.
#[derive(Parser, Debug)]
#[command(name = "maixpy", version)]
pub struct Options {
    /// Firmware whose API and boot names the script expects
    #[arg(long, value_enum, default_value_t = Firmware::Maixpy)]
    pub firmware: Firmware,
    /// Put a file into the flash: 0x300000=m.kmodel, or a whole .kfpkg; may be repeated
    #[arg(long, value_name = "ADDR=FILE|KFPKG")]
    pub flash: Vec<String>,
    /// Folder that is /sd
    #[arg(long, value_name = "DIR")]
    pub sd: Option<PathBuf>,
    /// Folder that is /flash
    #[arg(long, value_name = "DIR")]
    pub spiffs: Option<PathBuf>,
    /// What the camera sees: a picture, or a folder of pictures (the frames of a video)
    #[arg(long, value_name = "PICTURE|DIR")]
    pub camera: Option<PathBuf>,
    /// End the script (SystemExit, status 0) when it asks for one more frame than this
    #[arg(long, value_name = "N")]
    pub frames: Option<u32>,
    /// Frames at which the BOOT key is pressed for a tenth of a second
    #[arg(long, value_name = "FRAME", value_delimiter = ',')]
    pub press: Vec<u32>,
    /// Where frames of the LCD go: a folder (PNG files), a window, or nowhere
    #[arg(long, value_name = "DIR|window|none", default_value = "none")]
    pub lcd: String,
    /// Give up after this many seconds (status 124)
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// Memory for Python's objects
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub heap: usize,
    /// Memory for models, the simulated KPU's included
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub memory: usize,
    /// Round halves of the KPU's activations up, not to even
    #[arg(long)]
    pub half_up: bool,
    /// The script, or a folder that holds main.py, and what it finds in sys.argv
    #[arg(required = true, trailing_var_arg = true, value_names = ["SCRIPT", "ARGUMENT"])]
    pub command: Vec<String>,
}

impl Options {
    /// The script's file.
    pub fn script(&self) -> PathBuf {
        let script = PathBuf::from(&self.command[0]);
        if script.is_dir() { script.join("main.py") } else { script }
    }
}

/// A family of firmware.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// Sipeed's MaixPy v1
    Maixpy,
    /// Canaan's CanMV for the K210
    Canmv,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_before_the_script_and_arguments_behind() {
        let line = "maixpy --flash 1=a --flash b.kfpkg --press 3,9 demo.py --frames 2";
        let options = Options::parse_from(line.split(' '));
        assert_eq!(options.flash, ["1=a", "b.kfpkg"]);
        assert_eq!(options.press, [3, 9]);
        assert_eq!(options.frames, None);
        assert_eq!(options.command, ["demo.py", "--frames", "2"]);
        assert!(Options::try_parse_from(["maixpy", "--nonsense", "demo.py"]).is_err());
    }
}
