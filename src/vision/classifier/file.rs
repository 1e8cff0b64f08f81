//! The file that a classifier is saved in: docs/formats.md, classifier file. Little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 2 | classes |
//! | 2 | places for samples |
//! | | per class: |
//! | 4 | values of a feature |
//! | 4 | index of the class |
//! | 8 | unused, 0 |
//! | 4 each | the centre, f32 |
//! | | in a checked file, behind the last class: |
//! | 4 | `KCLS` |
//! | 4 | version, 1 |
//! | 4 | CRC-32 of everything before |

use super::{Capacity, Classifier};
use crate::crc::CRC;
use crate::error::{Error, Kind, Result, What};

const SEAL_NAME: [u8; 4] = *b"KCLS";
const SEAL_VERSION: u32 = 1;
const SEAL_BYTES: usize = 12;

/// How a classifier is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Byte for byte as MaixPy does.
    Original,
    /// The same, with a version and a checksum behind it.
    Checked,
}

impl Classifier<'_> {
    /// Hands the bytes of the file to `out`, piece by piece. Samples are not saved.
    ///
    /// The classes that have an image must be the first ones: the file cannot tell otherwise.
    pub fn save(&self, form: Form, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if form == Form::Original {
            return self.write(out);
        }
        let mut crc = CRC.digest();
        let mut sealed = |piece: &[u8]| {
            crc.update(piece);
            out(piece)
        };
        self.write(&mut sealed)?;
        sealed(&SEAL_NAME)?;
        sealed(&SEAL_VERSION.to_le_bytes())?;
        out(&crc.finalize().to_le_bytes())
    }

    /// Not inlined: one copy serves both forms.
    #[inline(never)]
    fn write(&self, out: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let classes = self.classes();
        if let Some(gap) = self.present.iter().take(classes).position(|&present| present == 0) {
            let numbers = [gap as u64, self.present.len() as u64];
            return Err(Error::about(Kind::ClassMissing, What::Nothing, numbers));
        }
        let Capacity { samples, feature, .. } = self.capacity();
        out(&u16_bytes(What::NumberOfClasses, classes)?)?;
        out(&u16_bytes(What::NumberOfSamplePlaces, samples)?)?;
        for (class, centre) in
            self.centres.chunks_exact(self.feature.get()).take(classes).enumerate()
        {
            out(&(feature as u32).to_le_bytes())?;
            out(&(class as u32).to_le_bytes())?;
            out(&[0; 8])?;
            let mut piece = [0; 64];
            for values in centre.chunks(16) {
                let mut size = 0;
                for (bytes, value) in piece.as_chunks_mut().0.iter_mut().zip(values) {
                    *bytes = value.to_le_bytes();
                    size += 4;
                }
                out(piece.get(..size).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    /// Sets the classes of a checked file, in an empty classifier that has room for them.
    ///
    /// Of features longer than the classifier's the first values count, as everywhere.
    pub fn load(&mut self, file: &File<'_>) -> Result<()> {
        let Capacity { classes: places, feature, .. } = self.capacity();
        if file.classes > places {
            let numbers = [file.classes as u64, places as u64];
            return Err(Error::about(Kind::FilePlaces, What::Classes, numbers));
        }
        if file.classes > 0 && file.feature < feature {
            let numbers = [file.feature as u64, feature as u64];
            return Err(Error::about(Kind::FeatureLength, What::Classifier, numbers));
        }
        let centres = self.centres.chunks_exact_mut(self.feature.get());
        for ((centre, present), class) in centres.zip(self.present.iter_mut()).zip(0..file.classes)
        {
            let stored = file.centre(class);
            centre.iter_mut().zip(stored).for_each(|(value, stored)| *value = stored);
            *present = 1;
        }
        Ok(())
    }
}

fn u16_bytes(what: What, value: usize) -> Result<[u8; 2]> {
    let bytes = u16::try_from(value).map(u16::to_le_bytes);
    bytes.map_err(|_| Error::about(Kind::FileLimit, what, [value as u64, u16::MAX.into()]))
}

/// A classifier file whose structure has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'f> {
    /// Classes.
    pub classes: usize,
    /// Places for samples of the classifier that was saved.
    pub samples: usize,
    /// Values of a feature; 0 where there is no class.
    pub feature: usize,
    records: &'f [u8],
}

impl<'f> File<'f> {
    /// Bytes of a class before its centre.
    const CLASS_HEAD: usize = 16;

    /// Checks the bytes of a file of either [`Form`].
    pub fn parse(bytes: &'f [u8]) -> Result<Self> {
        let mut fields = Fields { bytes, at: 0 };
        let classes = fields.number(What::ItsHead, 2)? as usize;
        let samples = fields.number(What::ItsHead, 2)? as usize;
        let begin = fields.at;
        let feature = match classes {
            0 => 0,
            _ => fields.number(What::Class0, 4)? as usize,
        };
        if classes > 0 && feature == 0 {
            return Err(wrong(What::FeatureLength, 0, 1).at(begin as u64));
        }
        let rest = bytes.get(begin..).unwrap_or_default();
        let file = Self { classes, samples, feature, records: rest };
        let size = file.record().saturating_mul(classes);
        let Some(records) = rest.get(..size) else {
            let missing = size.saturating_sub(rest.len()) as u64;
            let error = Error::about(Kind::Truncated, What::TheClasses, [missing, 0]);
            return Err(error.at(bytes.len() as u64));
        };
        for class in 0..classes {
            fields.at = begin + class * file.record();
            fields.expect(What::TheClasses, What::FeatureLength, feature as u32)?;
            fields.expect(What::TheClasses, What::IndexOfAClass, class as u32)?;
        }
        fields.at = begin + size;
        fields.check_seal()?;
        Ok(Self { records, ..file })
    }

    /// Bytes of a class with its centre.
    fn record(&self) -> usize {
        self.feature.saturating_mul(4).saturating_add(Self::CLASS_HEAD)
    }

    fn centre(&self, class: usize) -> impl Iterator<Item = f32> {
        let record = class * self.record();
        let values = self.records.get(record + Self::CLASS_HEAD..record + self.record());
        let values = values.unwrap_or_default().as_chunks().0;
        values.iter().map(|&value| f32::from_le_bytes(value))
    }
}

/// Reads the numbers of a file one after the other.
struct Fields<'f> {
    bytes: &'f [u8],
    at: usize,
}

impl Fields<'_> {
    /// A number of `size` bytes, at most 4; `part` is the part of the file that it belongs to.
    fn number(&mut self, part: What, size: usize) -> Result<u32> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(number) = rest.get(..size) else {
            let missing = size.saturating_sub(rest.len()) as u64;
            let error = Error::about(Kind::Truncated, part, [missing, 0]);
            return Err(error.at(self.bytes.len() as u64));
        };
        self.at += size;
        Ok(number.iter().rev().fold(0, |high, &byte| high << 8 | u32::from(byte)))
    }

    /// A number of 4 bytes that has one right value.
    fn expect(&mut self, part: What, what: What, right: u32) -> Result<()> {
        let at = self.at as u64;
        match self.number(part, 4)? {
            is if is == right => Ok(()),
            is => Err(wrong(what, is.into(), right.into()).at(at)),
        }
    }

    /// Checks what stands behind the classes: nothing, or the seal of a checked file.
    fn check_seal(&mut self) -> Result<()> {
        let (begin, length) = (self.at, self.bytes.len());
        if begin == length {
            return Ok(());
        }
        let name = self.number(What::ItsSeal, 4)?;
        if name != u32::from_le_bytes(SEAL_NAME) || length > begin + SEAL_BYTES {
            return Err(wrong(What::Length, length as u64, begin as u64));
        }
        self.expect(What::ItsSeal, What::Version, SEAL_VERSION)?;
        let sum = CRC.checksum(self.bytes.get(..self.at).unwrap_or_default());
        self.expect(What::ItsSeal, What::Checksum, sum)
    }
}

fn wrong(what: What, is: u64, should_be: u64) -> Error {
    Error::about(Kind::ClassifierFile, what, [is, should_be])
}
