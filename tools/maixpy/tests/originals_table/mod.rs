//! The table of the original scripts.
#![allow(dead_code)] // each test uses a part

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct Table {
    script: Vec<Script>,
}

/// Files are named from `DATA/` (the real test data), `SCRIPTS/` (the copy) or `SAMPLES/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    pub path: String,
    /// Pictures that the camera takes.
    pub frames: u32,
    pub camera: String,
    #[serde(default)]
    pub press: String,
    #[serde(default)]
    pub flash: BTreeMap<String, String>,
    #[serde(default)]
    pub sd: BTreeMap<String, String>,
    /// Files in the folder in which the script runs.
    #[serde(default)]
    pub here: BTreeMap<String, String>,
    /// Python that runs in that folder first.
    #[serde(default)]
    pub before: String,
    /// Whether the flash file's bytes are in the order of the original load_flash.
    #[serde(default)]
    pub swapped: bool,
    /// A pattern in what it prints.
    pub prints: String,
    /// Ends it where that is printed; otherwise `frames` do.
    #[serde(default)]
    pub stop: bool,
    /// A traceback ends it.
    #[serde(default)]
    pub fails: bool,
    /// For the document.
    pub seen: String,
    #[serde(default)]
    pub instead: String,
}

/// All of them.
pub fn read() -> Vec<Script> {
    toml::from_str::<Table>(include_str!("originals.toml")).expect("originals.toml").script
}
