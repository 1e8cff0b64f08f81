//! PLIC: priorities, enables and claims of the interrupt sources, for core 0.

/// Number of sources, the non-existent source 0 included.
pub const SOURCES: u32 = 66;

/// A set of interrupt sources: bit n is source n.
pub type Lines = u128;

const ENABLE: u32 = 0x2000;
const PENDING: u32 = 0x1000;
const THRESHOLD: u32 = 0x20_0000;
const CLAIM: u32 = 0x20_0004;

/// The interrupt controller. Sources are levels: pending while their line is high.
pub struct Plic {
    priority: [u32; SOURCES as usize],
    enabled: Lines,
    threshold: u32,
    lines: Lines,
    claimed: Lines,
}

impl Plic {
    /// The state after a reset.
    pub fn new() -> Self {
        Self { priority: [0; SOURCES as usize], enabled: 0, threshold: 0, lines: 0, claimed: 0 }
    }

    /// Takes what the devices' lines are now.
    pub fn set_lines(&mut self, lines: Lines) {
        self.lines = lines;
    }

    /// The interrupt to the core is raised.
    pub fn interrupt(&self) -> bool {
        self.best().is_some_and(|source| self.priority[source as usize] > self.threshold)
    }

    /// Reads a register; reading the claim register claims.
    pub fn read(&mut self, offset: u32) -> u32 {
        match offset {
            CLAIM => self.claim(),
            THRESHOLD => self.threshold,
            _ if offset < PENDING => self.priority.get(offset as usize / 4).copied().unwrap_or(0),
            PENDING..0x1010 => part(self.lines & !self.claimed, offset - PENDING),
            ENABLE..0x2010 => part(self.enabled, offset - ENABLE),
            _ => 0,
        }
    }

    /// Writes a register; writing the claim register completes.
    pub fn write(&mut self, offset: u32, value: u32) {
        match offset {
            CLAIM if value < SOURCES => self.claimed &= !(1 << value),
            THRESHOLD => self.threshold = value,
            ENABLE..0x2010 => {
                let shift = (offset - ENABLE) / 4 * 32;
                self.enabled = self.enabled & !(0xFFFF_FFFF << shift) | Lines::from(value) << shift;
            }
            _ => {
                if let Some(priority) = self.priority.get_mut(offset as usize / 4) {
                    *priority = value & 7;
                }
            }
        }
    }

    fn claim(&mut self) -> u32 {
        let source = self.best().unwrap_or(0);
        if source != 0 {
            self.claimed |= 1 << source;
        }
        source
    }

    /// The pending enabled source of the highest priority that is not 0; of several, the first.
    fn best(&self) -> Option<u32> {
        let mut pending = self.lines & self.enabled & !self.claimed & !1;
        let mut best = None;
        let mut best_priority = 0;
        while pending != 0 {
            let source = pending.trailing_zeros();
            pending &= pending - 1;
            let priority = self.priority.get(source as usize).copied().unwrap_or(0);
            if priority > best_priority {
                (best, best_priority) = (Some(source), priority);
            }
        }
        best
    }
}

impl Default for Plic {
    fn default() -> Self {
        Self::new()
    }
}

fn part(lines: Lines, offset: u32) -> u32 {
    (lines >> (offset / 4 * 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_by_priority_and_waits_for_completion() {
        let mut plic = Plic::new();
        plic.write(4 * 25, 1);
        plic.write(4 * 33, 2);
        plic.write(ENABLE, 1 << 25);
        plic.write(ENABLE + 4, 1 << 1);
        assert!(!plic.interrupt());
        plic.set_lines(1 << 25 | 1 << 33);
        assert!(plic.interrupt());
        assert_eq!(plic.read(CLAIM), 33);
        assert_eq!(plic.read(CLAIM), 25);
        assert!(!plic.interrupt(), "both are claimed");
        plic.write(CLAIM, 33);
        assert_eq!(plic.read(CLAIM), 33, "the line is still high");
        plic.set_lines(0);
        plic.write(CLAIM, 33);
        plic.write(CLAIM, 25);
        assert_eq!(plic.read(CLAIM), 0);
    }

    #[test]
    fn threshold_and_priority_zero_mask() {
        let mut plic = Plic::new();
        plic.write(ENABLE, !0);
        plic.set_lines(1 << 5);
        assert!(!plic.interrupt(), "priority 0 never interrupts");
        plic.write(4 * 5, 3);
        plic.write(THRESHOLD, 3);
        assert!(!plic.interrupt());
        plic.write(THRESHOLD, 2);
        assert!(plic.interrupt());
        assert_eq!(plic.read(PENDING), 1 << 5);
    }
}
