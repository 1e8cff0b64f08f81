//! SYSCTL: clocks and resets read back as written, PLLs lock at once, and the choice of which
//! device's requests each DMA channel serves.

const GIT_ID: u32 = 0x00;
const CLOCK_FREQUENCY: u32 = 0x04;
const PLL_LOCK: u32 = 0x18;
const SOFT_RESET: u32 = 0x30;
const RESET_STATUS: u32 = 0x60;
const DMA_SELECT0: u32 = 0x64;
const DMA_SELECT1: u32 = 0x68;

/// In RESET_STATUS: the reset was asked for by software.
const SOFT_RESET_STATUS: u32 = 1 << 4;

/// Frequency of the crystal.
const CRYSTAL_HZ: u32 = 26_000_000;

/// The system controller.
pub struct Sysctl {
    registers: [u32; 32],
}

impl Sysctl {
    /// The state after power comes.
    pub fn new() -> Self {
        let mut registers = [0; 32];
        registers[CLOCK_FREQUENCY as usize / 4] = CRYSTAL_HZ;
        Self { registers }
    }

    /// The state after a reset that software asked for.
    pub fn after_soft_reset() -> Self {
        let mut sysctl = Self::new();
        sysctl.registers[RESET_STATUS as usize / 4] = SOFT_RESET_STATUS;
        sysctl
    }

    /// Reads a register.
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            PLL_LOCK => !0,
            _ => self.register(offset),
        }
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u32, value: u32) {
        if let Some(register) = self.registers.get_mut(offset as usize / 4)
            && !matches!(offset, GIT_ID | CLOCK_FREQUENCY)
        {
            *register = value;
        }
    }

    /// The firmware has asked for a reset of the chip.
    pub fn reset_requested(&self) -> bool {
        self.register(SOFT_RESET) & 1 != 0
    }

    /// Number of the request line that a DMA channel is connected to.
    pub fn dma_request(&self, channel: usize) -> u32 {
        match channel {
            0..5 => self.register(DMA_SELECT0) >> (6 * channel) & 0x3F,
            _ => self.register(DMA_SELECT1) & 0x3F,
        }
    }

    fn register(&self, offset: u32) -> u32 {
        self.registers.get(offset as usize / 4).copied().unwrap_or(0)
    }
}

impl Default for Sysctl {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dma_requests_are_six_bits_each() {
        let mut sysctl = Sysctl::new();
        sysctl.write(DMA_SELECT0, 22 << 18 | 7);
        sysctl.write(DMA_SELECT1, 6);
        assert_eq!([0, 1, 3, 5].map(|c| sysctl.dma_request(c)), [7, 0, 22, 6]);
    }

    #[test]
    fn read_only_registers_stay() {
        let mut sysctl = Sysctl::new();
        sysctl.write(CLOCK_FREQUENCY, 1);
        assert_eq!(sysctl.read(CLOCK_FREQUENCY), CRYSTAL_HZ);
        assert!(!sysctl.reset_requested());
        sysctl.write(SOFT_RESET, 1);
        assert!(sysctl.reset_requested());
    }
}
