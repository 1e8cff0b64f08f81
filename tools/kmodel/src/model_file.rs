//! Models as they come: .kmodel files, and the members of a .kfpkg.

use crate::failure::{Failure, Result};
use clap::Args;
use maix_kpu::model::detect;
use std::{
    fs,
    io::{Cursor, Read},
    path::PathBuf,
};
use zip::ZipArchive;

/// Which model a command is about.
#[derive(Args)]
pub struct ModelPath {
    /// A .kmodel, or a .kfpkg with models inside
    file: PathBuf,
    /// The member of the .kfpkg that is meant
    #[arg(long, value_name = "NAME")]
    member: Option<String>,
}

/// A model's bytes and where they come from.
pub struct ModelFile {
    /// Path, and the member's name.
    pub name: String,
    /// The whole file.
    pub bytes: Vec<u8>,
}

impl ModelPath {
    /// Every model that is meant; at least one.
    pub fn read_all(&self) -> Result<Vec<ModelFile>> {
        let name = self.file.display().to_string();
        let bytes = fs::read(&self.file).map_err(|e| Failure::file(&self.file, e))?;
        if !is_archive(&bytes) {
            return match &self.member {
                None => Ok(vec![ModelFile { name, bytes }]),
                Some(_) => Err(Failure::new(format!("{name}: not a .kfpkg"), "leave --member out")),
            };
        }
        let mut models: Vec<_> = members(bytes)
            .map_err(|e| e.of(&name))?
            .into_iter()
            .filter(|(member, bytes)| match &self.member {
                Some(wanted) => wanted == member,
                None => member.ends_with(".kmodel") || detect::version(&&bytes[..]).is_ok(),
            })
            .map(|(member, bytes)| ModelFile { name: format!("{name}:{member}"), bytes })
            .collect();
        if models.is_empty() {
            return Err(Failure::new(
                format!("{name}: no such model inside"),
                "list the members with `unzip -l`",
            ));
        }
        models.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(models)
    }

    /// The one model that is meant.
    pub fn read_one(&self) -> Result<ModelFile> {
        let mut models = self.read_all()?;
        if models.len() > 1 {
            let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
            return Err(Failure::new(
                format!("several models inside: {}", names.join(", ")),
                "name one with --member",
            ));
        }
        Ok(models.remove(0))
    }
}

/// Whether the bytes are a zip archive, which a .kfpkg is.
pub fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Names and contents of an archive's files.
pub fn members(archive: Vec<u8>) -> Result<Vec<(String, Vec<u8>)>> {
    let damaged = |error: &dyn std::fmt::Display| {
        Failure::new(format!("damaged archive: {error}"), "copy the .kfpkg again")
    };
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(|e| damaged(&e))?;
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(|e| damaged(&e))?;
        if file.is_file() {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
            let name = file.name().map_err(|e| damaged(&e))?.into_owned();
            members.push((name, bytes));
        }
    }
    Ok(members)
}
