//! CLINT: the machine timer and the software interrupt of core 0.

/// CPU cycles per tick of `mtime`.
pub const CYCLES_PER_TICK: u64 = 50;

const MSIP0: u32 = 0;
const MTIMECMP0: u32 = 0x4000;
const MTIME: u32 = 0xBFF8;

/// The registers that core 0 uses; those of core 1 are ignored, for it does not run.
pub struct Clint {
    software: bool,
    compare: u64,
}

impl Clint {
    /// The state after a reset: no software interrupt, the timer never due.
    pub fn new() -> Self {
        Self { software: false, compare: u64::MAX }
    }

    /// Reads a register at a time, given in CPU cycles.
    pub fn read(&self, offset: u32, cycles: u64) -> u32 {
        let ticks = cycles / CYCLES_PER_TICK;
        match offset {
            MSIP0 => self.software.into(),
            MTIMECMP0 => self.compare as u32,
            0x4004 => (self.compare >> 32) as u32,
            MTIME => ticks as u32,
            0xBFFC => (ticks >> 32) as u32,
            _ => 0,
        }
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u32, value: u32) {
        let value = u64::from(value);
        match offset {
            MSIP0 => self.software = value & 1 != 0,
            MTIMECMP0 => self.compare = self.compare >> 32 << 32 | value,
            0x4004 => self.compare = value << 32 | self.compare & 0xFFFF_FFFF,
            _ => {}
        }
    }

    /// Whether an offset shows the time.
    pub fn is_time(offset: u32) -> bool {
        offset & !7 == MTIME
    }

    /// The software interrupt is raised.
    pub fn software_interrupt(&self) -> bool {
        self.software
    }

    /// The timer interrupt is raised.
    pub fn timer_interrupt(&self, cycles: u64) -> bool {
        cycles / CYCLES_PER_TICK >= self.compare
    }

    /// When the timer interrupt will be raised, in CPU cycles.
    pub fn due(&self) -> u64 {
        self.compare.saturating_mul(CYCLES_PER_TICK)
    }
}

impl Default for Clint {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_rises_at_its_compare_value() {
        let mut clint = Clint::new();
        assert!(!clint.timer_interrupt(1 << 60));
        clint.write(0x4000, 100);
        clint.write(0x4004, 0);
        assert_eq!(clint.due(), 5000);
        assert!(!clint.timer_interrupt(4999));
        assert!(clint.timer_interrupt(5000));
        assert_eq!(clint.read(0xBFF8, 5000), 100);
    }
}
