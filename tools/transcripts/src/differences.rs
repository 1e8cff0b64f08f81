//! Tables of the known differences from the original firmwares.

use std::cell::Cell;

use anyhow::{Context, Result};
use regex::Regex;
use serde::Deserialize;

/// Why an answer may differ.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The original is wrong, ours is not.
    Fault,
    /// Ours says more.
    Message,
    /// Ours can do more.
    Extension,
    /// What is not ours differs.
    Platform,
}

/// Lines that may differ.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    class: Class,
    /// Why, for the document.
    reason: String,
    /// Of the dialogues, a pattern.
    #[serde(deserialize_with = "whole_line")]
    topics: Regex,
    /// Each: what was recorded, and what ours prints.
    lines: Vec<Pair>,
}

/// Patterns of whole lines. Groups of one name must say the same in both. Without one of the two,
/// the line is missing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
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
    /// Notes that this line of the table was needed.
    pub fn note(&self) {
        self.used.set(true);
    }

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

/// A table of known differences.
#[derive(Deserialize)]
pub struct Differences {
    difference: Vec<Difference>,
}

impl Differences {
    /// Those of our module, wherever it runs.
    pub fn of_module() -> Self {
        Self::parse(include_str!("../tables/module.toml")).expect("module.toml")
    }

    /// Those of our archive behind the original's module.
    pub fn of_archive() -> Self {
        Self::parse(include_str!("../tables/archive.toml")).expect("archive.toml")
    }

    /// Reads a table.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).context("not a table of differences")
    }

    /// The reasons of one class, in the table's order.
    pub fn reasons(&self, class: Class) -> impl Iterator<Item = &str> {
        let of_class = self.difference.iter().filter(move |one| one.class == class);
        of_class.map(|one| &*one.reason)
    }

    /// The line of the table that explains a recorded and a printed line, or the lack of one.
    pub fn find(
        &self,
        topic: &str,
        recorded: Option<&str>,
        printed: Option<&str>,
    ) -> Option<&Pair> {
        self.difference
            .iter()
            .filter(|difference| difference.topics.is_match(topic))
            .flat_map(|difference| &difference.lines)
            .find(|pair| pair.explains(recorded, printed))
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
}
