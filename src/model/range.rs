//! Byte ranges of a model's memories.

use crate::{
    error::{Error, Kind, Result, What},
    kpu::memory::KPU_RAM_BYTES,
    model::reader::{Field, Reader, Sink, body, choice},
    tensor::Dtype,
};

choice! {
    /// Where a range lies.
    Memory, Memory {
        /// Constants of the file, read-only.
        Constants = 0,
        /// Main memory, the arena.
        Main = 1,
        /// KPU RAM.
        Kpu = 2,
    }
}

impl Field for Dtype {
    fn read(reader: &mut Reader<'_>) -> Self {
        match reader.choice(What::ElementType, 2) {
            0 => Dtype::F32,
            _ => Dtype::U8,
        }
    }

    fn write(&self, sink: Sink<'_>) {
        (self.code() as u32).write(sink);
    }
}

body! {
    /// A byte range of one memory: 16 bytes.
    Range {
        /// The memory.
        memory: Memory,
        /// Type of its elements.
        dtype: Dtype,
        /// First byte.
        start: u32,
        /// Number of bytes.
        size: u32,
    }
}

/// Sizes of the memories that ranges point into.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of constants.
    pub constants: u32,
    /// Bytes of main memory.
    pub main: u32,
}

impl Range {
    /// Elements in the range.
    pub fn elements(&self) -> usize {
        self.size as usize / self.dtype.size()
    }

    /// The byte behind the last one.
    pub fn end(&self) -> u64 {
        u64::from(self.start) + u64::from(self.size)
    }

    /// Checks that the range lies inside its memory.
    pub fn check(&self, what: What, limits: &Limits) -> Result<()> {
        let size = match self.memory {
            Memory::Constants => u64::from(limits.constants),
            Memory::Main => u64::from(limits.main),
            Memory::Kpu => KPU_RAM_BYTES as u64,
        };
        if self.end() > size {
            return Err(Error::about(Kind::OutOfMemoryRange, what, [self.end(), size]));
        }
        Ok(())
    }

    /// Checks a tensor that the CPU reads: in constants or main memory, of `dtype`, aligned,
    /// and holding `needed` elements.
    pub fn check_read(
        &self,
        what: What,
        dtype: Dtype,
        needed: usize,
        limits: &Limits,
    ) -> Result<()> {
        self.check(what, limits)?;
        if self.memory == Memory::Kpu {
            return Err(Error::about(Kind::WrongMemory, what, [self.memory as u64, 0]));
        }
        if self.dtype != dtype {
            return Err(Error::about(Kind::WrongDtype, what, [self.dtype.code(), 0]));
        }
        if !(self.start as usize).is_multiple_of(dtype.size()) {
            return Err(Error::about(
                Kind::Misaligned,
                what,
                [self.start.into(), dtype.size() as u64],
            ));
        }
        match needed.checked_mul(dtype.size()) {
            Some(bytes) if bytes <= self.size as usize => Ok(()),
            bytes => Err(Error::about(
                Kind::SizeMismatch,
                what,
                [self.size.into(), bytes.map_or(u64::MAX, |b| b as u64)],
            )),
        }
    }

    /// Checks a tensor that the CPU writes: as [`check_read`](Self::check_read), in main memory.
    pub fn check_write(
        &self,
        what: What,
        dtype: Dtype,
        needed: usize,
        limits: &Limits,
    ) -> Result<()> {
        if self.memory != Memory::Main {
            return Err(Error::about(Kind::WrongMemory, what, [self.memory as u64, 0]));
        }
        self.check_read(what, dtype, needed, limits)
    }

    /// Checks that writing `len` bytes of `output` leaves the `own` bytes of this input alone.
    pub fn check_apart(&self, what: What, own: usize, output: &Range, len: usize) -> Result<()> {
        let (a, b) = (u64::from(self.start), u64::from(output.start));
        let apart = self.memory != output.memory || a + own as u64 <= b || b + len as u64 <= a;
        if apart { Ok(()) } else { Err(Error::of(Kind::Overlap, what)) }
    }
}
