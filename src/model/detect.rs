//! Tells a kmodel that we run from everything else that lies at flash addresses and in files.

use super::{source::Source, v4};
use crate::error::{Error, Kind, Result, What};

/// A version that this library runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// nncase 0.1.
    V3,
    /// nncase 0.2.
    V4,
}

/// First word of an encrypted model.
const SMODEL: u32 = 0x2713;
/// Numbers of the toolchain's first formats.
const LEGACY: [u32; 3] = [1, 2, 0x1234_5678];
/// First word of a .zip file.
const ZIP: u32 = u32::from_le_bytes(*b"PK\x03\x04");
/// Second word of a .tflite file.
const TFLITE: u32 = u32::from_le_bytes(*b"TFL3");

/// The version of a kmodel, or an error that names what the bytes are instead.
pub fn version(source: &dyn Source) -> Result<Version> {
    let mut head = [0u32; 4];
    let bytes: &mut [u8] = bytemuck::must_cast_slice_mut(&mut head);
    let len = source.len().min(bytes.len());
    if len == 0 {
        return Err(Error::new(Kind::Empty));
    }
    source.read(0, bytes.get_mut(..len).unwrap_or_default())?;
    if len < 8 {
        return Err(Error::about(Kind::Truncated, What::Header, [8 - len as u64, 0]).at(len as u64));
    }
    recognise(&head.map(u32::from_le))
}

fn recognise(head: &[u32; 4]) -> Result<Version> {
    let &[first, second, ..] = head;
    let (kind, number) = match (first, second) {
        (3, _) => return Ok(Version::V3),
        (v4::IDENTIFIER, 4) => return Ok(Version::V4),
        (v4::IDENTIFIER, 5 | 6) => (Kind::Kmodel5, second),
        (v4::IDENTIFIER, _) => (Kind::UnknownVersion, second),
        (SMODEL, _) => (Kind::Smodel, first),
        _ if first.swap_bytes() == 3 || first.swap_bytes() == v4::IDENTIFIER => {
            (Kind::ByteSwapped, first)
        }
        _ if LEGACY.contains(&first) => (Kind::Legacy, first),
        _ if head.iter().all(|&word| word == u32::MAX) => (Kind::Erased, first),
        _ if head.iter().all(|&word| word == 0) => (Kind::Zeros, first),
        (ZIP, _) => (Kind::Zip, first),
        (_, TFLITE) => (Kind::Tflite, first),
        // Field 1 (the IR version), then field 2 (the producer) or 7 (the graph).
        _ if matches!(first.to_le_bytes(), [0x08, 1..32, 0x12 | 0x3A, _]) => (Kind::Onnx, first),
        _ if is_noise(head) => (Kind::Scrambled, first),
        (4..16, _) => (Kind::UnknownVersion, first),
        _ => (Kind::NotAModel, first),
    };
    Err(Error::about(kind, What::Nothing, [number.into(), 0]).at(0))
}

/// Whether no word is a small number and the bytes are no text, as after encryption.
fn is_noise(head: &[u32; 4]) -> bool {
    let bytes: &[u8] = bytemuck::must_cast_slice(head);
    let text = bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    !text && head.iter().all(|&word| word >= 1 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bytes: &[u8]) -> Kind {
        version(&bytes).expect_err("not a kmodel").kind()
    }

    #[test]
    fn kmodels_are_recognised() {
        assert_eq!(version(&&b"\x03\0\0\0\x01\0\0\0"[..]), Ok(Version::V3));
        assert_eq!(version(&&b"LDMK\x04\0\0\0"[..]), Ok(Version::V4));
    }

    #[test]
    fn everything_else_is_named() {
        assert_eq!(kind(b""), Kind::Empty);
        assert_eq!(kind(b"\x03\0"), Kind::Truncated);
        assert_eq!(kind(b"LDMK\x05\0\0\0\x20\0\0\0\0\0\0\0"), Kind::Kmodel5);
        assert_eq!(kind(b"LDMK\x06\0\0\0\x20\0\0\0\0\0\0\0"), Kind::Kmodel5);
        assert_eq!(kind(b"LDMK\x07\0\0\0\x20\0\0\0\0\0\0\0"), Kind::UnknownVersion);
        assert_eq!(kind(b"\0\0\0\x03\0\0\0\x01\0\0\0\0\0\0\0\x17"), Kind::ByteSwapped);
        assert_eq!(kind(b"KMDL\0\0\0\x04\0\0\0\0\0\0\0\x17"), Kind::ByteSwapped);
        assert_eq!(kind(b"\x13\x27\0\0\x01\0\0\0\0\0\0\0\0\0\0\x17"), Kind::Smodel);
        assert_eq!(
            kind(b"\xF2\x3C\x8D\x23\xA1\x9C\x44\x81\x10\xEE\x42\x99\x01\x02\x03\x77"),
            Kind::Scrambled
        );
        assert_eq!(kind(b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0"), Kind::Zip);
        assert_eq!(kind(&[0xFF; 64]), Kind::Erased);
        assert_eq!(kind(&[0; 64]), Kind::Zeros);
        assert_eq!(kind(b"\x20\0\0\0TFL3\0\0\0\0\0\0\0\0"), Kind::Tflite);
        assert_eq!(kind(b"\x08\x07\x12\x07pytorch\x1a\x05\x31\x2e\x31"), Kind::Onnx);
        assert_eq!(kind(b"\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\x17"), Kind::Legacy);
        assert_eq!(kind(b"\x78\x56\x34\x12\x01\0\0\0\0\0\0\0\0\0\0\x17"), Kind::Legacy);
        assert_eq!(kind(b"\x09\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\x17"), Kind::UnknownVersion);
        assert_eq!(kind(b"<!DOCTYPE html><html>"), Kind::NotAModel);
    }
}
