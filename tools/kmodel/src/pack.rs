//! `kmodel pack`: a .kfpkg of models, firmware and other files with their flash addresses.

use crate::{
    failure::{Failure, Result},
    package::{Entry, FlashList, LIST, kind, swapped},
};
use clap::{Args, ValueEnum};
use maix_kpu::model::detect;
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};
use zip::{ZipWriter, write::SimpleFileOptions};

/// Arguments of `pack`.
#[derive(Args)]
pub struct PackOptions {
    /// The .kfpkg to write
    package: PathBuf,
    /// What goes where, such as model.kmodel@0x300000; a file at address 0 is firmware
    #[arg(required = true, value_name = "FILE@ADDRESS", value_parser = placed)]
    files: Vec<Placed>,
    /// Byte order of the kmodels: as they are, or swapped in groups of four as the original MaixPy's
    /// load_flash wants it
    #[arg(long, value_enum, default_value_t = ByteOrder::Plain)]
    byte_order: ByteOrder,
}

/// Byte order of kmodels.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ByteOrder {
    /// As every load function but the original load_flash wants it
    Plain,
    /// As the original load_flash wants it
    Swapped,
}

#[derive(Clone)]
struct Placed {
    path: PathBuf,
    address: u64,
}

/// Smallest part of flash that can be erased.
const SECTOR: u64 = 4096;
/// Bytes of the largest flash chip on these boards.
const FLASH: u64 = 16 << 20;

fn placed(text: &str) -> std::result::Result<Placed, String> {
    let (path, address) = text.rsplit_once('@').ok_or("give FILE@ADDRESS")?;
    let number = match address.strip_prefix("0x").or(address.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => address.parse(),
    };
    let address = number.map_err(|_| format!("{address} is no address"))?;
    if !address.is_multiple_of(SECTOR) {
        return Err(format!("the address must be a multiple of {SECTOR} (0x1000)"));
    }
    Ok(Placed { path: path.into(), address })
}

/// Writes the package.
pub fn run(options: &PackOptions) -> Result<()> {
    let mut members = Vec::new();
    for Placed { path, address } in &options.files {
        let bytes = fs::read(path).map_err(|e| Failure::file(path, e))?;
        let bin = name(path)?;
        let swap = options.byte_order == ByteOrder::Swapped && detect::version(&&bytes[..]).is_ok();
        let what = kind(&bytes);
        say!(
            "0x{address:06X} {} bytes {bin}: {what}{}",
            bytes.len(),
            if swap { ", bytes swapped" } else { "" }
        );
        let bytes = if swap { swapped(&bytes) } else { bytes };
        let entry =
            Entry { address: *address, bin, sha256_prefix: *address == 0, reverse_4_bytes: false };
        members.push((entry, bytes));
    }
    members.sort_by_key(|(entry, _)| entry.address);
    check(&members)?;
    write(&options.package, members)
}

fn name(path: &Path) -> Result<String> {
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) if name != LIST => Ok(name.to_string()),
        _ => Err(Failure::new(
            format!("{}: a file of that name cannot be a member", path.display()),
            "rename the file",
        )),
    }
}

/// Fails where members share a name or flash, or lie behind its end; they are in order of address.
fn check(members: &[(Entry, Vec<u8>)]) -> Result<()> {
    let end = |(entry, bytes): &(Entry, Vec<u8>)| entry.address + bytes.len() as u64;
    for (index, member) in members.iter().enumerate() {
        let bin = &member.0.bin;
        if members[..index].iter().any(|(other, _)| other.bin == *bin) {
            return Err(Failure::new(format!("two files are named {bin}"), "rename one of them"));
        }
        if end(member) > FLASH {
            return Err(Failure::new(
                format!("{bin} ends at 0x{:X}, flash at 0x{FLASH:X}", end(member)),
                "choose a lower address",
            ));
        }
        let Some(next) = members.get(index + 1) else { continue };
        if end(member) > next.0.address {
            return Err(Failure::new(
                format!(
                    "{bin} ends at 0x{:X}, behind the beginning of {} at 0x{:X}",
                    end(member),
                    next.0.bin,
                    next.0.address
                ),
                format!(
                    "choose 0x{:X} or more for {}",
                    end(member).next_multiple_of(SECTOR),
                    next.0.bin
                ),
            ));
        }
    }
    Ok(())
}

fn write(path: &Path, members: Vec<(Entry, Vec<u8>)>) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| Failure::file(path, error);
    let mut archive = ZipWriter::new(File::create(path).map_err(|e| failed(&e))?);
    let options = SimpleFileOptions::default();
    let mut add = |name: &str, bytes: &[u8]| {
        archive.start_file(name, options).map_err(|e| failed(&e))?;
        archive.write_all(bytes).map_err(|e| failed(&e))
    };
    let mut files = Vec::new();
    let mut contents = Vec::new();
    for (entry, bytes) in members {
        contents.push((entry.bin.clone(), bytes));
        files.push(entry);
    }
    let list = FlashList { version: "0.1.0".to_string(), files };
    let list = serde_json::to_vec_pretty(&list).map_err(|e| failed(&e))?;
    add(LIST, &list)?;
    for (name, bytes) in &contents {
        add(name, bytes)?;
    }
    archive.finish().map_err(|e| failed(&e))?;
    say!("wrote {}", path.display());
    Ok(())
}
