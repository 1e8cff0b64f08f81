//! OTP: 16 KiB of fuses. They can be read; blowing them does nothing.

const DATA: u32 = 0x24;
/// Where a byte is read, in bits.
const BIT_ADDRESS: u32 = 0x30;
const WRITE_DONE: u32 = 0x38;
const READY: u32 = 0x3C;
const TEST_DONE: u32 = 0x48;
const READ_DONE: u32 = 0xAC;

/// Bytes of fuses.
const BYTES: usize = 0x4000;

/// The fuses and the registers in front of them.
pub struct Otp {
    fuses: Vec<u8>,
    address: usize,
}

impl Default for Otp {
    /// None is blown.
    fn default() -> Self {
        Self { fuses: vec![0; BYTES], address: 0 }
    }
}

impl Otp {
    /// The fuses, to be filled.
    pub fn fuses_mut(&mut self) -> &mut [u8] {
        &mut self.fuses
    }

    /// Reads a register: whatever was begun is done and is well.
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            DATA => self.fuses.get(self.address).copied().unwrap_or(0).into(),
            WRITE_DONE | READY | TEST_DONE | READ_DONE => 1,
            _ => 0,
        }
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u32, value: u32) {
        if offset == BIT_ADDRESS {
            self.address = value as usize / 8;
        }
    }
}
