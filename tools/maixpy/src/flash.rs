//! The 16 MiB of flash beside the chip.

use std::{fs, io::Read, path::Path};

use anyhow::{Context, Result, bail, ensure};

/// Bytes of the flash.
pub const SIZE: usize = 16 << 20;

/// The flash; erased bytes are 0xFF.
pub struct Flash(Vec<u8>);

impl Default for Flash {
    fn default() -> Self {
        Self(vec![0xFF; SIZE])
    }
}

impl Flash {
    /// Writes what a `--flash` option says: `ADDRESS=FILE`, or a .kfpkg with its own addresses.
    pub fn load(&mut self, option: &str) -> Result<()> {
        if let Some((address, file)) = option.split_once('=')
            && let Some(address) = parse_address(address)
        {
            let bytes = fs::read(file).with_context(|| format!("--flash {option}"))?;
            return self.write(address, &bytes).with_context(|| format!("--flash {option}"));
        }
        if option.ends_with(".kfpkg") {
            return self.load_package(Path::new(option)).with_context(|| option.to_string());
        }
        bail!("--flash {option}: give ADDRESS=FILE (0x300000=m.kmodel) or a .kfpkg file")
    }

    fn load_package(&mut self, path: &Path) -> Result<()> {
        let mut package = zip::ZipArchive::new(fs::File::open(path)?)?;
        let list: serde_json::Value = serde_json::from_reader(package.by_name("flash-list.json")?)?;
        for entry in list["files"].as_array().context("flash-list.json names no files")? {
            let name = entry["bin"].as_str().context("an entry of flash-list.json has no bin")?;
            let address =
                entry["address"].as_u64().with_context(|| format!("{name}: no address"))?;
            let mut bytes = Vec::new();
            package.by_name(name)?.read_to_end(&mut bytes)?;
            self.write(address as usize, &bytes).with_context(|| name.to_string())?;
        }
        Ok(())
    }

    fn write(&mut self, address: usize, bytes: &[u8]) -> Result<()> {
        let end = address.checked_add(bytes.len()).filter(|&end| end <= SIZE);
        ensure!(end.is_some(), "{} bytes at {address:#x} do not fit into 16 MiB", bytes.len());
        self.0[address..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Reads; behind the end everything is erased.
    pub fn read(&self, address: usize, bytes: &mut [u8]) {
        let stored = self.0.get(address..).unwrap_or_default();
        let (here, behind) = bytes.split_at_mut(stored.len().min(bytes.len()));
        here.copy_from_slice(&stored[..here.len()]);
        behind.fill(0xFF);
    }
}

fn parse_address(text: &str) -> Option<usize> {
    match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(digits) => usize::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(name: &str, bytes: &[u8]) -> String {
        let path = std::env::temp_dir().join(format!("maixpy-{}-{name}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    }

    #[test]
    fn files_go_to_their_address() {
        let path = file("flash.bin", b"model");
        let mut flash = Flash::default();
        flash.load(&format!("0x300000={path}")).unwrap();
        let mut bytes = [0; 7];
        flash.read(0x2F_FFFF, &mut bytes);
        assert_eq!(&bytes, b"\xFFmodel\xFF");
        flash.read(SIZE - 2, &mut bytes);
        assert_eq!(bytes, [0xFF; 7]);
        assert!(flash.load(&format!("0xFFFFFE={path}")).is_err());
        assert!(flash.load(&path).is_err());
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn packages_bring_their_addresses() {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut package = zip::ZipWriter::new(&mut bytes);
        let options = zip::write::SimpleFileOptions::default();
        package.start_file("flash-list.json", options).unwrap();
        let list = br#"{"version":"0.1.0","files":[{"address":5242880,"bin":"m.kmodel"}]}"#;
        package.write_all(list).unwrap();
        package.start_file("m.kmodel", options).unwrap();
        package.write_all(b"v3").unwrap();
        package.finish().unwrap();
        let path = file("model.kfpkg", &bytes.into_inner());
        let mut flash = Flash::default();
        flash.load(&path).unwrap();
        let mut read = [0; 2];
        flash.read(0x50_0000, &mut read);
        assert_eq!(&read, b"v3");
        fs::remove_file(path).unwrap();
    }
}
