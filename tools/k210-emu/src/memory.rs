//! RAM: 6 MiB and the 2 MiB of KPU RAM behind them, seen at 0x80000000 and, uncached, at 0x40000000.

use std::{
    alloc::{self, Layout},
    ops::Range,
    ptr::NonNull,
};

use maix_kpu::kpu::memory::KPU_RAM_BYTES;

/// Where the CPU sees RAM through its caches.
pub const CACHED: u64 = 0x8000_0000;
/// Where the CPU, the DMA controller and the KPU see it directly.
pub const UNCACHED: u64 = 0x4000_0000;
/// Bytes of RAM, KPU RAM included.
pub const BYTES: usize = 8 << 20;
/// First byte of KPU RAM.
const KPU_RAM: usize = BYTES - KPU_RAM_BYTES;

/// The bytes of RAM, at a place that never moves, for the CPU has them mapped.
pub struct Memory {
    bytes: NonNull<u8>,
}

impl Memory {
    const LAYOUT: Layout = match Layout::from_size_align(BYTES, 4096) {
        Ok(layout) => layout,
        Err(_) => panic!("4096 is a power of two"),
    };

    /// RAM filled with zeros.
    pub fn new() -> Self {
        // SAFETY: the layout's size is not 0.
        let bytes = unsafe { alloc::alloc_zeroed(Self::LAYOUT) };
        match NonNull::new(bytes) {
            Some(bytes) => Self { bytes },
            None => alloc::handle_alloc_error(Self::LAYOUT),
        }
    }

    /// For mapping into the CPU.
    pub fn as_ptr(&self) -> *mut u8 {
        self.bytes.as_ptr()
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the block has BYTES initialized bytes and lives as long as self. The CPU writes
        // to it only while it runs, which nobody who holds a reference lets it.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr(), BYTES) }
    }

    /// All of it.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and self is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.as_ptr(), BYTES) }
    }

    /// RAM without KPU RAM, and KPU RAM.
    pub fn split_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        self.bytes_mut().split_at_mut(KPU_RAM)
    }

    /// `size` bytes at an address of either view, or `None` if they are not all RAM.
    pub fn get(&self, address: u64, size: usize) -> Option<&[u8]> {
        self.bytes().get(Self::range(address, size)?)
    }

    /// `size` bytes at an address of either view, or `None` if they are not all RAM.
    pub fn get_mut(&mut self, address: u64, size: usize) -> Option<&mut [u8]> {
        let range = Self::range(address, size)?;
        self.bytes_mut().get_mut(range)
    }

    /// Copies `size` bytes from one address to another as a DMA channel does.
    pub fn copy(&mut self, from: u64, to: u64, size: usize) -> Option<()> {
        let from = Self::range(from, size)?;
        let to = Self::range(to, size)?;
        self.bytes_mut().copy_within(from, to.start);
        Some(())
    }

    /// Whether the address is one of RAM, in either view.
    pub fn contains(address: u64) -> bool {
        Self::range(address, 1).is_some()
    }

    fn range(address: u64, size: usize) -> Option<Range<usize>> {
        let base = if address >= CACHED { CACHED } else { UNCACHED };
        let begin = usize::try_from(address.checked_sub(base)?).ok()?;
        let end = begin.checked_add(size)?;
        (end <= BYTES).then_some(begin..end)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed once.
        unsafe { alloc::dealloc(self.bytes.as_ptr(), Self::LAYOUT) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_views_are_the_same_bytes() {
        let mut memory = Memory::new();
        memory.get_mut(0x4000_0010, 2).unwrap().copy_from_slice(&[1, 2]);
        assert_eq!(memory.get(0x8000_0010, 2), Some(&[1, 2][..]));
        memory.copy(0x8000_0010, 0x4060_0000, 2).unwrap();
        assert_eq!(memory.split_mut().1[..2], [1, 2]);
    }

    #[test]
    fn nothing_lies_outside() {
        let memory = Memory::new();
        assert!(memory.get(CACHED + BYTES as u64 - 1, 1).is_some());
        for (address, size) in [
            (CACHED + BYTES as u64 - 1, 2),
            (UNCACHED + BYTES as u64, 1),
            (UNCACHED - 1, 1),
            (u64::MAX, usize::MAX),
        ] {
            assert!(memory.get(address, size).is_none(), "{address:#x} {size}");
        }
    }
}
