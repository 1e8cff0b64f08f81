//! The index of the recordings.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Where the test data lie: `MAIX_KPU_TESTDATA`, or `shared` beside the repository.
pub fn folder() -> PathBuf {
    env::var_os("MAIX_KPU_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    )
}

/// All recordings.
#[derive(Deserialize)]
pub struct Index {
    /// One dialogue each.
    pub topics: Vec<Topic>,
    #[serde(skip)]
    folder: PathBuf,
}

/// A dialogue.
#[derive(Deserialize)]
pub struct Topic {
    /// Firmware and name: `maixpy/load_print`.
    #[serde(rename = "topic")]
    pub name: String,
    /// What it is about.
    pub about: String,
    /// What lies in flash, by address in hexadecimal.
    pub flash: BTreeMap<String, Content>,
    /// The files of `/flash`, by path.
    pub files: BTreeMap<String, Content>,
    /// Lines, from 1, that show addresses or sizes of the heap.
    #[serde(rename = "lines_with_addresses_or_heap")]
    pub incidental_lines: Vec<usize>,
    /// How the firmware ended.
    pub ends: End,
    /// Input files that the recording machine put in place of what the script fed to the KPU.
    #[serde(default)]
    pub fed_input_override: Vec<String>,
}

/// How the firmware ended.
#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// The script ran to its end, or to an exception.
    Normal,
    /// The firmware died.
    Crash,
    /// The firmware stood still.
    Hang,
}

/// Bytes that a dialogue needs.
#[derive(Deserialize)]
pub struct Content {
    file: Option<String>,
    golden: Option<String>,
    sha256: String,
}

impl Index {
    /// Reads the index; `None` (and a line that says so) where there are no recordings.
    pub fn read() -> Option<Self> {
        let folder = folder();
        match fs::read(folder.join("transcripts/index.json")) {
            Ok(bytes) => {
                let index: Self = serde_json::from_slice(&bytes).expect("an index");
                Some(Self { folder, ..index })
            }
            Err(_) => {
                println!("skipped: there are no transcripts in {}", folder.display());
                None
            }
        }
    }

    /// The dialogues on one firmware whose names contain the environment's `TOPIC`.
    pub fn of(&self, firmware: &str) -> impl Iterator<Item = &Topic> {
        let only = env::var("TOPIC").unwrap_or_default();
        let firmware = format!("{firmware}/");
        self.topics
            .iter()
            .filter(move |topic| topic.name.starts_with(&firmware) && topic.name.contains(&only))
    }

    /// A file of a dialogue.
    pub fn path(&self, topic: &Topic, file: &str) -> PathBuf {
        self.folder.join("transcripts").join(&topic.name).join(file)
    }

    /// The script of a dialogue.
    pub fn script(&self, topic: &Topic) -> String {
        fs::read_to_string(self.path(topic, "script.py")).expect("a script")
    }

    /// What the firmware printed; an exception's traceback stands behind an empty line.
    pub fn output(&self, topic: &Topic) -> String {
        fs::read_to_string(self.path(topic, "output.txt")).expect("an output")
    }

    /// The bytes that a dialogue asks for.
    pub fn content(&self, content: &Content) -> Result<Vec<u8>> {
        let candidates: Vec<PathBuf> = match (&content.file, &content.golden) {
            (Some(file), _) => vec![self.folder.join("transcripts").join(file)],
            (None, Some(name)) => fs::read_dir(self.folder.join("golden").join(name))?
                .map(|file| Ok(file?.path()))
                .collect::<Result<_>>()?,
            (None, None) => Vec::new(),
        };
        let hash = |bytes: &[u8]| -> String {
            Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
        };
        candidates
            .iter()
            .filter(|path| path.is_file())
            .map(fs::read)
            .filter_map(Result::ok)
            .find(|bytes| hash(bytes) == content.sha256)
            .with_context(|| format!("no file has the hash {}", content.sha256))
    }
}

impl Topic {
    /// The flash contents with their addresses.
    pub fn flash(&self) -> impl Iterator<Item = (usize, &Content)> {
        self.flash.iter().map(|(address, content)| {
            let digits = address.strip_prefix("0x").expect("a hexadecimal address");
            (usize::from_str_radix(digits, 16).expect("a hexadecimal address"), content)
        })
    }
}
