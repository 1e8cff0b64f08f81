//! `kmodel unpack`: the files of a .kfpkg.

use crate::{
    failure::{Failure, Result},
    model_file::{is_archive, members},
    pack::ByteOrder,
    package::{FlashList, LIST, kind, swapped},
};
use clap::Args;
use maix_kpu::{error::Kind, model::detect};
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Arguments of `unpack`.
#[derive(Args)]
pub struct UnpackOptions {
    /// The .kfpkg
    package: PathBuf,
    /// Folder for its files
    outdir: PathBuf,
    /// Byte order of the kmodels that are written; default: as they lie in the package
    #[arg(long, value_enum)]
    byte_order: Option<ByteOrder>,
}

/// Writes every member and tells its flash address.
pub fn run(options: &UnpackOptions) -> Result<()> {
    let name = options.package.display();
    let bytes = fs::read(&options.package).map_err(|e| Failure::file(&options.package, e))?;
    if !is_archive(&bytes) {
        return Err(Failure::new(format!("{name}: not a .kfpkg"), "give a .kfpkg"));
    }
    let members = members(bytes).map_err(|e| e.of(&name))?;
    let list = match members.iter().find(|(member, _)| member == LIST) {
        Some((_, list)) => FlashList::parse(list).map_err(|e| e.of(&name))?.files,
        None => Vec::new(),
    };
    for (member, bytes) in members {
        let path = Path::new(&member);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Failure::new(
                format!("{name}: the member {member} would leave the folder"),
                "do not use this package",
            ));
        }
        let (bytes, what) = reordered(bytes, options.byte_order);
        let target = options.outdir.join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(|e| Failure::file(folder, e))?;
        }
        fs::write(&target, &bytes).map_err(|e| Failure::file(&target, e))?;
        if member == LIST {
            continue;
        }
        match list.iter().find(|entry| entry.bin == member) {
            Some(entry) => {
                let swap = if entry.reverse_4_bytes { ", swapped when it is flashed" } else { "" };
                say!("0x{:06X} {} bytes {member}: {what}{swap}", entry.address, bytes.len());
            }
            None => say!("no address {} bytes {member}: {what}", bytes.len()),
        }
    }
    Ok(())
}

/// A kmodel in the byte order that is asked for, and what the file is.
fn reordered(bytes: Vec<u8>, order: Option<ByteOrder>) -> (Vec<u8>, String) {
    let is_swapped =
        matches!(detect::version(&&bytes[..]), Err(e) if e.kind() == Kind::ByteSwapped);
    let bytes = match order {
        Some(ByteOrder::Plain) if is_swapped => swapped(&bytes),
        Some(ByteOrder::Swapped) if detect::version(&&bytes[..]).is_ok() => swapped(&bytes),
        _ => bytes,
    };
    let what = kind(&bytes);
    (bytes, what)
}
