//! The known differences from the original firmwares, and the document made of them.

use std::{cell::Cell, env, fs, path::PathBuf};

use regex::Regex;
use serde::Deserialize;

use crate::{common, originals};

/// Why an answer may differ.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
enum Class {
    Fault,
    Message,
    Extension,
    Platform,
}

impl Class {
    const ALL: [Self; 4] = [Self::Fault, Self::Message, Self::Extension, Self::Platform];

    fn title(self) -> &'static str {
        match self {
            Self::Fault => "Faults of the original that ours does not have",
            Self::Message => "Better messages",
            Self::Extension => "What the original does not have",
            Self::Platform => "Limits of the platform",
        }
    }
}

/// Lines that may differ.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    class: Class,
    /// Why, for the document.
    reason: String,
    /// Of the dialogues, a pattern.
    #[serde(deserialize_with = "whole_line")]
    topics: Regex,
    /// Each: what was recorded, and what ours prints.
    lines: Vec<Pair>,
    #[serde(skip)]
    used: Cell<bool>,
}

/// Patterns of whole lines. Groups of one name must say the same in both. Without one of the two,
/// the line is missing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    #[serde(default, deserialize_with = "optional_line")]
    recorded: Option<Regex>,
    #[serde(default, deserialize_with = "optional_line")]
    printed: Option<Regex>,
    #[serde(skip)]
    used: Cell<bool>,
}

fn whole_line<'d, D: serde::Deserializer<'d>>(source: D) -> Result<Regex, D::Error> {
    let text = String::deserialize(source)?;
    Regex::new(&format!("^(?:{text})$")).map_err(serde::de::Error::custom)
}

fn optional_line<'d, D: serde::Deserializer<'d>>(source: D) -> Result<Option<Regex>, D::Error> {
    whole_line(source).map(Some)
}

impl Pair {
    fn explains(&self, recorded: Option<&str>, printed: Option<&str>) -> bool {
        let (a, b) = match (&self.recorded, recorded, &self.printed, printed) {
            (None, None, Some(pattern), Some(line)) | (Some(pattern), Some(line), None, None) => {
                return pattern.is_match(line);
            }
            (Some(a), Some(recorded), Some(b), Some(printed)) => {
                (a.captures(recorded).map(|found| (a, found)), b.captures(printed))
            }
            _ => return false,
        };
        let (Some((pattern, a)), Some(b)) = (a, b) else { return false };
        pattern.capture_names().flatten().all(|name| {
            b.name(name).is_none_or(|b| a.name(name).is_some_and(|a| a.as_str() == b.as_str()))
        })
    }
}

/// All known differences.
#[derive(Deserialize)]
pub struct Differences {
    difference: Vec<Difference>,
}

/// A line of the table.
#[derive(Clone, Copy)]
pub struct Found(usize, usize);

impl Differences {
    pub fn read() -> Self {
        toml::from_str(include_str!("differences.toml")).expect("differences.toml")
    }

    /// What explains a recorded and a printed line, or the lack of one.
    pub fn find(
        &self,
        topic: &str,
        recorded: Option<&str>,
        printed: Option<&str>,
    ) -> Option<Found> {
        self.difference
            .iter()
            .enumerate()
            .filter(|(_, difference)| difference.topics.is_match(topic))
            .find_map(|(number, difference)| {
                let pair =
                    difference.lines.iter().position(|pair| pair.explains(recorded, printed));
                pair.map(|pair| Found(number, pair))
            })
    }

    /// Notes that a line of the table was needed.
    pub fn note(&self, Found(number, pair): Found) {
        self.difference[number].used.set(true);
        self.difference[number].lines[pair].used.set(true);
    }

    /// The lines of the table that were not needed.
    pub fn unused(&self) -> Vec<String> {
        let unused = |difference: &Difference| -> Vec<String> {
            let pairs = difference.lines.iter().filter(|pair| !pair.used.get());
            pairs
                .map(|pair| {
                    format!("{}: {:?} {:?}", difference.reason, pair.recorded, pair.printed)
                })
                .collect()
        };
        self.difference.iter().flat_map(unused).collect()
    }

    /// docs/compatibility.md is what the table says.
    pub fn check_documentation(&self) {
        let path: PathBuf = common::project().join("docs/compatibility.md");
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, self.document()).expect("the document");
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == self.document(), "docs/compatibility.md is old: run with UPDATE_DOCS=1");
    }

    fn document(&self) -> String {
        let mut text = include_str!("introduction.md").to_string();
        for class in Class::ALL {
            text += &format!("\n### {}\n\n", class.title());
            for difference in self.difference.iter().filter(|one| one.class == class) {
                text += &format!("- {}\n", difference.reason);
            }
        }
        text += include_str!("scripts.md");
        for script in originals::read() {
            let (path, seen) = (&script.path, &script.seen);
            let runs = if script.fails { "to an exception" } else { "yes" };
            text += &format!("| {path} | {runs} | {seen} | {} |\n", script.instead);
        }
        text
    }
}
