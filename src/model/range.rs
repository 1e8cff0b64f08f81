//! Byte ranges of a model's memories.

use crate::{
    error::{Error, Kind, Result, What},
    kpu::memory::KPU_RAM_BYTES,
    model::reader::{Field, Part, choice},
    tensor::Dtype,
};

/// Where a range lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Constants of the file, read-only.
    Constants,
    /// Main memory, the arena.
    Main,
    /// KPU RAM.
    Kpu,
}

choice! { Memory as MemoryCode { Constants, Main = 1, Kpu = 2 } }
choice! { Dtype as DtypeCode { F32, U8 = 1 } }

/// A byte range of one memory: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Range {
    memory: MemoryCode,
    dtype: DtypeCode,
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub size: u32,
}

impl Field for Range {
    const PARTS: &'static [Part] =
        &[MemoryCode::PART, DtypeCode::PART, Part::plain(<[u32; 2]>::PARTS)];
    const PART: Part = Part::RANGE;
    const ZERO: &'static Self =
        &Self { memory: *MemoryCode::ZERO, dtype: *DtypeCode::ZERO, start: 0, size: 0 };
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
    /// `size` bytes from `start`.
    pub fn new(memory: Memory, dtype: Dtype, start: u32, size: u32) -> Self {
        Self { memory: memory.into(), dtype: dtype.into(), start, size }
    }

    /// The memory.
    pub fn memory(&self) -> Memory {
        self.memory.get()
    }

    /// Type of its elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype.get()
    }

    /// Elements in the range.
    pub fn elements(&self) -> usize {
        self.size as usize / self.dtype().size()
    }

    /// The byte behind the last one.
    pub fn end(&self) -> u64 {
        u64::from(self.start) + u64::from(self.size)
    }

    /// Whether both begin at the same byte of a memory.
    pub fn is_at(&self, other: &Range) -> bool {
        (self.memory, self.start) == (other.memory, other.start)
    }

    /// Checks that the range lies inside its memory.
    pub fn check(&self, what: What, limits: &Limits) -> Result<()> {
        let size = match self.memory() {
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
        if self.memory() == Memory::Kpu {
            return Err(Error::about(Kind::WrongMemory, what, [self.memory() as u64, 0]));
        }
        if self.dtype() != dtype {
            return Err(Error::about(Kind::WrongDtype, what, [self.dtype().code(), 0]));
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
        if self.memory() != Memory::Main {
            return Err(Error::about(Kind::WrongMemory, what, [self.memory() as u64, 0]));
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
