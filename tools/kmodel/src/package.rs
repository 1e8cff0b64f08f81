//! `.kfpkg`: a zip archive of what goes into flash, and flash-list.json that says where.

use crate::failure::{Failure, Result};
use serde::{Deserialize, Serialize};

/// Name of the list in the archive.
pub const LIST: &str = "flash-list.json";

/// What the flashing tools read.
#[derive(Deserialize, Serialize)]
pub struct FlashList {
    /// Version of the format.
    pub version: String,
    /// What is flashed, where.
    pub files: Vec<Entry>,
}

/// A file to flash.
#[derive(Deserialize, Serialize)]
pub struct Entry {
    /// Byte address in flash.
    pub address: u64,
    /// The member of the archive.
    pub bin: String,
    /// The flashing tool puts the header in front that the boot loader wants: firmware at address 0.
    #[serde(rename = "sha256Prefix", default)]
    pub sha256_prefix: bool,
    /// The flashing tool swaps the bytes in groups of four.
    #[serde(rename = "reverse4Bytes", default, skip_serializing_if = "is_false")]
    pub reverse_4_bytes: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl FlashList {
    /// Reads the list.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        // Some packing tools begin the file with a byte order mark.
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        serde_json::from_slice(bytes).map_err(|error| {
            Failure::new(format!("{LIST}: {error}"), "the package is damaged; download it again")
        })
    }
}

/// The bytes in the order that the original `load_flash` wants: swapped in groups of four, filled up
/// with 0xFF. Swapping twice gives the bytes again.
pub fn swapped(bytes: &[u8]) -> Vec<u8> {
    let mut swapped = bytes.to_vec();
    swapped.resize(bytes.len().next_multiple_of(4), 0xFF);
    swapped.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
    swapped
}

/// What a file is, by its first bytes.
pub fn kind(bytes: &[u8]) -> String {
    match maix_kpu::model::Model::open(&bytes) {
        Ok(model) => format!("kmodel v{}", model.version()),
        Err(error) if error.kind() == maix_kpu::error::Kind::NotAModel => "no model".to_string(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapping_fills_up_and_comes_back() {
        assert_eq!(swapped(&[1, 2, 3, 4, 5]), [4, 3, 2, 1, 0xFF, 0xFF, 0xFF, 5]);
        assert_eq!(swapped(&swapped(&[1, 2, 3, 4])), [1, 2, 3, 4]);
    }

    #[test]
    fn lists_of_other_tools_are_read() {
        let list = b"\xEF\xBB\xBF{\"version\": \"0.1.0\", \"files\": [
            {\"address\": 3145728, \"bin\": \"m.kmodel\", \"sha256Prefix\": false, \"reverse4Bytes\": true},
            {\"address\": 0, \"bin\": \"firmware.bin\", \"sha256Prefix\": true, \"extra\": 1}]}";
        let list = FlashList::parse(list).unwrap();
        assert!(list.files[0].reverse_4_bytes && !list.files[1].reverse_4_bytes);
        assert!(list.files[1].sha256_prefix);
        assert!(FlashList::parse(b"{}").is_err());
    }
}
