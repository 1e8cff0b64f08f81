//! docs/compatibility.md, made of the tables of known differences.

use std::{env, fs, path::PathBuf};

use transcripts::{Class, Differences};

use crate::{common, originals};

/// Classes of differences with their titles, in the document's order.
const CLASSES: [(Class, &str); 4] = [
    (Class::Fault, "Faults of the original that ours does not have"),
    (Class::Message, "Better messages"),
    (Class::Extension, "What the original does not have"),
    (Class::Platform, "Limits of the platform"),
];

/// The document is what the tables say.
pub fn check() {
    let path: PathBuf = common::project().join("docs/compatibility.md");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, document()).expect("the document");
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == document(), "docs/compatibility.md is old: run with UPDATE_DOCS=1");
}

/// The reasons of a table, by class.
fn reasons(table: &Differences) -> String {
    let mut text = String::new();
    for (class, title) in CLASSES {
        let reasons: Vec<_> = table.reasons(class).map(|reason| format!("- {reason}\n")).collect();
        if !reasons.is_empty() {
            text += &format!("\n### {title}\n\n{}", reasons.concat());
        }
    }
    text
}

fn document() -> String {
    let mut text = include_str!("introduction.md").to_string();
    text += &reasons(&Differences::of_module());
    text += include_str!("archive.md");
    text += &reasons(&Differences::of_archive());
    text += include_str!("scripts.md");
    for script in originals::read() {
        let (path, seen) = (&script.path, &script.seen);
        let runs = if script.fails { "to an exception" } else { "yes" };
        text += &format!("| {path} | {runs} | {seen} | {} |\n", script.instead);
    }
    text
}
