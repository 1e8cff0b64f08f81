//! The 16 MiB flash chip (W25Q128) behind SPI3: what its commands do to the bytes on the wire.

use std::ops::Range;

/// Bytes of the chip.
pub const BYTES: usize = 16 << 20;

const PAGE: usize = 256;
const WRITE_ENABLED: u8 = 2;
const MANUFACTURER_ID: u8 = 0xEF;
const DEVICE_ID: u8 = 0x17;
const JEDEC_ID: [u8; 3] = [MANUFACTURER_ID, 0x40, 0x18];

/// The chip. A command begins with [`select`](Self::select) and ends with
/// [`deselect`](Self::deselect); programming and erasing take no time.
pub struct Flash {
    bytes: Vec<u8>,
    status: [u8; 3],
    /// Bytes received since selected, as far as they are instruction, address and dummies.
    header: Vec<u8>,
    /// Dummy clocks that the command still wants before data.
    dummy: u32,
    /// Data bytes moved since the header.
    data: usize,
    /// The page as it will be programmed.
    page: Option<(usize, Vec<u8>)>,
    /// A read of this address fails: it gives ones, and so does the rest of the command.
    bad: Option<usize>,
    failing: bool,
}

impl Flash {
    /// An erased chip.
    pub fn new() -> Self {
        Self {
            bytes: vec![0xFF; BYTES],
            status: [0; 3],
            header: Vec::new(),
            dummy: 0,
            data: 0,
            page: None,
            bad: None,
            failing: false,
        }
    }

    /// The next read of this address fails, once.
    pub fn fail_at(&mut self, address: usize) {
        self.bad = Some(address);
    }

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The content, to be filled from outside.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The chip select line falls.
    pub fn select(&mut self) {
        self.header.clear();
        self.data = 0;
        self.dummy = 0;
        self.page = None;
        self.failing = false;
    }

    /// The chip select line rises: what was programmed, erased or written becomes true.
    pub fn deselect(&mut self) {
        let enabled = self.status[0] & WRITE_ENABLED != 0;
        let Some(&instruction) = self.header.first() else { return };
        match instruction {
            0x06 => self.status[0] |= WRITE_ENABLED,
            0x04 => self.status[0] &= !WRITE_ENABLED,
            0x01 | 0x31 | 0x11 if enabled => self.status[0] &= !WRITE_ENABLED,
            0x02 | 0x32 if enabled => self.program(),
            0x20 if enabled => self.erase(4 << 10),
            0x52 if enabled => self.erase(32 << 10),
            0xD8 if enabled => self.erase(64 << 10),
            0xC7 | 0x60 if enabled => self.erase(BYTES),
            _ => {}
        }
        self.header.clear();
    }

    /// Eight bits (on one line or more) go each way.
    pub fn exchange(&mut self, byte: u8) -> u8 {
        if self.header.len() < self.header_bytes() {
            self.header.push(byte);
            if self.header.len() == self.header_bytes() {
                self.dummy = self.dummy_clocks();
            }
            return 0xFF;
        }
        if self.dummy > 0 {
            self.wait(8);
            return 0xFF;
        }
        let n = self.data;
        self.data += 1;
        self.exchange_data(n, byte)
    }

    /// Clocks pass without data.
    pub fn wait(&mut self, clocks: u32) {
        self.dummy = self.dummy.saturating_sub(clocks);
    }

    /// Bytes before dummies and data: the instruction, and address bytes where it has some.
    fn header_bytes(&self) -> usize {
        match self.header.first() {
            Some(0x02 | 0x03 | 0x0B | 0x20 | 0x32 | 0x3B | 0x52 | 0x6B | 0x90 | 0xD8) => 4,
            // The fourth byte of the address is the mode byte.
            Some(0xBB | 0xEB) => 5,
            _ => 1,
        }
    }

    fn dummy_clocks(&self) -> u32 {
        match self.header.first() {
            Some(0x0B | 0x3B | 0x6B) => 8,
            Some(0xEB) => 4,
            _ => 0,
        }
    }

    fn exchange_data(&mut self, n: usize, byte: u8) -> u8 {
        match self.header[0] {
            0x03 | 0x0B | 0x3B | 0x6B | 0xBB | 0xEB => self.read((self.address() + n) % BYTES),
            0x05 => self.status[0],
            0x35 => self.status[1],
            0x15 => self.status[2],
            0x90 => [MANUFACTURER_ID, DEVICE_ID][n % 2],
            0x9F => JEDEC_ID[n % 3],
            0x01 => {
                self.write_status(n, byte);
                0xFF
            }
            0x31 => {
                self.write_status(1, byte);
                0xFF
            }
            0x11 => {
                self.write_status(2, byte);
                0xFF
            }
            0x02 | 0x32 => {
                let begin = self.address() % BYTES;
                let (_, page) = self.page.get_or_insert_with(|| (begin / PAGE, vec![0xFF; PAGE]));
                page[(begin + n) % PAGE] = byte;
                0xFF
            }
            _ => 0xFF,
        }
    }

    fn read(&mut self, address: usize) -> u8 {
        self.failing |= self.bad.take_if(|bad| *bad == address).is_some();
        if self.failing { 0xFF } else { self.bytes[address] }
    }

    fn write_status(&mut self, n: usize, byte: u8) {
        if self.status[0] & WRITE_ENABLED != 0
            && let Some(register) = self.status.get_mut(n)
        {
            // Busy and write-enabled are the chip's own.
            *register = if n == 0 { byte & !3 | *register & 3 } else { byte };
        }
    }

    fn address(&self) -> usize {
        self.header[1..4].iter().fold(0, |address, &byte| address << 8 | usize::from(byte))
    }

    fn program(&mut self) {
        if let Some((page, data)) = self.page.take() {
            let old = &mut self.bytes[page * PAGE..][..PAGE];
            old.iter_mut().zip(data).for_each(|(old, new)| *old &= new);
        }
        self.status[0] &= !WRITE_ENABLED;
    }

    fn erase(&mut self, size: usize) {
        let begin = if size == BYTES { 0 } else { self.address() / size * size };
        let range: Range<usize> = begin..begin + size;
        if let Some(bytes) = self.bytes.get_mut(range) {
            bytes.fill(0xFF);
        }
        self.status[0] &= !WRITE_ENABLED;
    }
}

impl Default for Flash {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command<const N: usize>(flash: &mut Flash, send: &[u8]) -> [u8; N] {
        flash.select();
        for &byte in send {
            flash.exchange(byte);
        }
        let answer = std::array::from_fn(|_| flash.exchange(0));
        flash.deselect();
        answer
    }

    #[test]
    fn programs_erases_and_reads() {
        let mut flash = Flash::new();
        command::<0>(&mut flash, &[0x02, 0x12, 0x34, 0xFE, 1, 2, 3]);
        assert_eq!(command(&mut flash, &[0x03, 0x12, 0x34, 0xFE]), [0xFF; 2], "not enabled");
        command::<0>(&mut flash, &[0x06]);
        assert_eq!(command(&mut flash, &[0x05]), [WRITE_ENABLED]);
        command::<0>(&mut flash, &[0x02, 0x12, 0x34, 0xFE, 1, 2, 3]);
        assert_eq!(command(&mut flash, &[0x05]), [0]);
        assert_eq!(command(&mut flash, &[0x03, 0x12, 0x34, 0xFE]), [1, 2, 0xFF]);
        assert_eq!(command(&mut flash, &[0x0B, 0x12, 0x34, 0x00, 0]), [3], "wrapped in its page");
        command::<0>(&mut flash, &[0x06]);
        command::<0>(&mut flash, &[0x20, 0x12, 0x30, 0x00]);
        assert_eq!(command(&mut flash, &[0x03, 0x12, 0x34, 0xFE]), [0xFF; 2]);
    }

    #[test]
    fn identifies_itself_and_keeps_quad_enable() {
        let mut flash = Flash::new();
        assert_eq!(command(&mut flash, &[0x90, 0, 0, 0]), [0xEF, 0x17]);
        command::<0>(&mut flash, &[0x06]);
        command::<0>(&mut flash, &[0x01, 0x00, 0x02]);
        assert_eq!(command(&mut flash, &[0x35]), [2]);
        assert_eq!(command(&mut flash, &[0x05]), [0]);
    }

    #[test]
    fn a_failing_read_gives_ones_once() {
        let mut flash = Flash::new();
        flash.bytes_mut()[..4].copy_from_slice(&[1, 2, 3, 4]);
        flash.fail_at(2);
        assert_eq!(command(&mut flash, &[0x03, 0, 0, 0]), [1, 2, 0xFF, 0xFF]);
        assert_eq!(command(&mut flash, &[0x03, 0, 0, 0]), [1, 2, 3, 4]);
    }

    #[test]
    fn a_read_without_its_dummies_is_late() {
        let mut flash = Flash::new();
        flash.bytes_mut()[..2].copy_from_slice(&[7, 8]);
        assert_eq!(command(&mut flash, &[0x6B, 0, 0, 0]), [0xFF, 7]);
        flash.select();
        for byte in [0x6B, 0, 0, 0] {
            flash.exchange(byte);
        }
        flash.wait(8);
        assert_eq!(flash.exchange(0), 7);
    }
}
