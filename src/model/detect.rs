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

/// The version of a kmodel, or an error that names what the bytes are instead.
pub fn version(source: &dyn Source) -> Result<Version> {
    let mut head = [0u8; 16];
    let len = source.len().min(head.len());
    if len == 0 {
        return Err(Error::new(Kind::Empty));
    }
    source.read(0, head.get_mut(..len).unwrap_or_default())?;
    if len < 8 {
        return Err(Error::about(Kind::Truncated, What::Header, [8 - len as u64, 0]).at(len as u64));
    }
    recognise(&head)
}

fn recognise(head: &[u8; 16]) -> Result<Version> {
    let [a, b, c, d, e, f, g, h, ..] = *head;
    let (first, second) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let numbered =
        |kind, number: u32| Err(Error::about(kind, What::Nothing, [number.into(), 0]).at(0));
    match (first, second) {
        (3, _) => Ok(Version::V3),
        (v4::IDENTIFIER, 4) => Ok(Version::V4),
        (v4::IDENTIFIER, 5 | 6) => numbered(Kind::Kmodel5, second),
        (v4::IDENTIFIER, _) => numbered(Kind::UnknownVersion, second),
        (SMODEL, _) => numbered(Kind::Smodel, first),
        _ if first.swap_bytes() == 3 || first.swap_bytes() == v4::IDENTIFIER => {
            numbered(Kind::ByteSwapped, first)
        }
        _ if LEGACY.contains(&first) => numbered(Kind::Legacy, first),
        _ if head.iter().all(|&byte| byte == 0xFF) => numbered(Kind::Erased, first),
        _ if head.iter().all(|&byte| byte == 0) => numbered(Kind::Zeros, first),
        _ if head.starts_with(b"PK\x03\x04") => numbered(Kind::Zip, first),
        (_, second) if second.to_le_bytes() == *b"TFL3" => numbered(Kind::Tflite, first),
        // Field 1 (the IR version), then field 2 (the producer) or 7 (the graph).
        _ if a == 0x08 && (1..32).contains(&b) && (c == 0x12 || c == 0x3A) => {
            numbered(Kind::Onnx, first)
        }
        _ if is_noise(head) => numbered(Kind::Scrambled, first),
        (4..16, _) => numbered(Kind::UnknownVersion, first),
        _ => numbered(Kind::NotAModel, first),
    }
}

/// Whether no word is a small number and the bytes are no text, as after encryption.
fn is_noise(head: &[u8; 16]) -> bool {
    let (words, _) = head.as_chunks::<4>();
    let text = head.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    !text && words.iter().all(|&word| u32::from_le_bytes(word) >= 1 << 24)
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
