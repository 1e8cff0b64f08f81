//! Compound fields of kmodel v4: ranges, shapes, windows. Layout: docs/formats.md, section v4.

use crate::{
    error::{Error, Kind, Result},
    kpu::memory::KPU_RAM_BYTES,
    model::reader::{Field, Reader, Sink, body, choice, count},
    tensor::{Dtype, Shape, elements},
};

choice! {
    /// Where a range lies.
    Memory, "memory" {
        /// Constants of the file, read-only.
        Constants = 0,
        /// Main memory, the arena.
        Main = 1,
        /// KPU RAM.
        Kpu = 2,
    }
}

impl Field for Dtype {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let offset = reader.offset();
        match reader.field::<u32>()? {
            0 => Ok(Dtype::F32),
            1 => Ok(Dtype::U8),
            n => Err(Error::about(Kind::Field, "element type", [n.into(), 0]).at(offset as u64)),
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
    pub fn check(&self, what: &'static str, limits: &Limits) -> Result<()> {
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
        what: &'static str,
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
        what: &'static str,
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
    pub fn check_apart(
        &self,
        what: &'static str,
        own: usize,
        output: &Range,
        len: usize,
    ) -> Result<()> {
        let (a, b) = (u64::from(self.start), u64::from(output.start));
        let apart = self.memory != output.memory || a + own as u64 <= b || b + len as u64 <= a;
        if apart { Ok(()) } else { Err(Error::about(Kind::Overlap, what, [0; 2])) }
    }
}

impl Field for Shape4 {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let offset = reader.offset();
        let mut shape = [0; 4];
        for dim in &mut shape {
            *dim = count("dimension", reader.field::<i32>()?.into(), 1 << 30)
                .map_err(|e| e.at(offset as u64))?;
        }
        match elements(&shape) {
            Some(n) if n <= 1 << 30 => Ok(Shape4(shape)),
            n => Err(Error::about(
                Kind::Count,
                "the product of the dimensions",
                [n.map_or(u64::MAX, |n| n as u64), 1 << 30],
            )
            .at(offset as u64)),
        }
    }

    fn write(&self, sink: Sink<'_>) {
        for dim in self.0 {
            (dim as i32).write(sink);
        }
    }
}

/// A stored shape: N, C, H, W, all at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape4(pub Shape);

impl Shape4 {
    /// Elements of the shape.
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }
}

body! {
    /// Elements added before and after; negative numbers crop.
    Pad {
        /// Elements before.
        before: i32,
        /// Elements after.
        after: i32,
    }
}

body! {
    /// The interval that results are cut to.
    Clamp {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    }
}

body! {
    /// How bytes stand for real numbers in v4: `real = (byte - zero_point) / scale`.
    QuantParam {
        /// The byte that stands for 0.
        zero_point: i32,
        /// Bytes per unit.
        scale: f32,
    }
}

body! {
    /// A sliding window over H and W.
    Window {
        /// Padding of H.
        pad_h: Pad,
        /// Padding of W.
        pad_w: Pad,
        /// Taps in H.
        filter_h: i32,
        /// Taps in W.
        filter_w: i32,
        /// Step in H.
        stride_h: i32,
        /// Step in W.
        stride_w: i32,
        /// Distance of taps in H.
        dilation_h: i32,
        /// Distance of taps in W.
        dilation_w: i32,
    }
}

impl Window {
    /// Largest value of each number of a window.
    const MAX: i64 = 1 << 16;

    /// Taps of one window.
    pub fn taps(&self) -> usize {
        self.filter_h as usize * self.filter_w as usize
    }

    /// Checks every number alone.
    pub fn check(&self) -> Result<()> {
        for (what, value) in [
            ("filter height", self.filter_h),
            ("filter width", self.filter_w),
            ("stride in H", self.stride_h),
            ("stride in W", self.stride_w),
            ("dilation in H", self.dilation_h),
            ("dilation in W", self.dilation_w),
        ] {
            count(what, value.into(), Self::MAX)?;
        }
        for pad in [self.pad_h, self.pad_w] {
            for value in [pad.before, pad.after] {
                if i64::from(value).abs() > Self::MAX {
                    return Err(Error::about(Kind::Field, "padding", [value as i64 as u64, 0]));
                }
            }
        }
        Ok(())
    }
}
