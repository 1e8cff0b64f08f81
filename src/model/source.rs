//! Where the bytes of a model come from: memory, a file or flash.

use crate::{
    error::{Error, Kind, Result, What},
    tensor::copy,
};

/// Bytes of a model file that can be read at any offset.
pub trait Source {
    /// Bytes that can be read; for flash the distance to its end.
    fn len(&self) -> usize;

    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` with the bytes at `offset`.
    fn read(&self, offset: usize, out: &mut [u8]) -> Result<()>;

    /// The bytes themselves, where they lie in memory.
    fn bytes(&self) -> Option<&[u8]> {
        None
    }
}

impl Source for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        let span = Span { offset, len: out.len() };
        copy(span.of(self)?, out);
        Ok(())
    }

    fn bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
}

/// A byte range of the model file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte, from the start of the file.
    pub offset: usize,
    /// Number of bytes.
    pub len: usize,
}

impl Span {
    /// The span's bytes in `file`.
    #[inline(never)]
    pub fn of(self, file: &[u8]) -> Result<&[u8]> {
        self.offset
            .checked_add(self.len)
            .and_then(|end| file.get(self.offset..end))
            .ok_or_else(|| truncated(self.offset, self.len, file.len()))
    }
}

/// The error of a read of `len` bytes at `offset` from a file of `size` bytes.
#[inline(never)]
pub(crate) fn truncated(offset: usize, len: usize, size: usize) -> Error {
    let missing = offset.saturating_add(len).saturating_sub(size);
    Error::about(Kind::Truncated, What::Field, [missing as u64, 0]).at(offset as u64)
}
