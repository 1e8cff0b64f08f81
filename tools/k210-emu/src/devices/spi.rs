//! SPI controllers (DesignWare SSI): SPI0 and SPI1, whose devices are not there, and SPI3 with the
//! flash chip.

use std::collections::VecDeque;

use crate::devices::flash::Flash;

const CTRLR0: u32 = 0x00;
const CTRLR1: u32 = 0x04;
const SSIENR: u32 = 0x08;
const SER: u32 = 0x10;
const TXFLR: u32 = 0x20;
const RXFLR: u32 = 0x24;
const SR: u32 = 0x28;
const DR_FIRST: u32 = 0x60;
const DR_LAST: u32 = 0xEC;
const SPI_CTRLR0: u32 = 0xF4;
const ENDIAN: u32 = 0x118;

const TX_NOT_FULL: u32 = 2;
const TX_EMPTY: u32 = 4;
const RX_NOT_EMPTY: u32 = 8;
const FIFO: usize = 32;

/// Where the fields of CTRLR0 are.
#[derive(Clone, Copy)]
pub struct Fields {
    frame_bits: u32,
    lines: u32,
    mode: u32,
}

impl Fields {
    /// In SPI0 and SPI1.
    pub const SPI0: Self = Self { frame_bits: 16, lines: 21, mode: 8 };
    /// In SPI3.
    pub const SPI3: Self = Self { frame_bits: 0, lines: 22, mode: 10 };
}

/// What a transfer moves.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Both,
    Send,
    Receive,
    /// First the command in the FIFO goes out, then data come in.
    CommandThenReceive,
}

/// A controller and the chip at its chip select 0.
///
/// Transfers take no time: frames go out when the controller is on and a chip is selected, and
/// those that come in are fetched from the chip when they are read.
pub struct Spi {
    fields: Fields,
    chip: Option<Flash>,
    registers: [u32; 0x120 / 4],
    send: VecDeque<u32>,
    received: VecDeque<u32>,
    /// Frames still to come in, behind those in `received`.
    to_receive: usize,
    selected: bool,
    /// Frames of the command that have gone out on several lines: instruction, address.
    command_frames: usize,
    /// The receiving part of the transfer has begun.
    receiving: bool,
}

impl Spi {
    /// A controller after a reset.
    pub fn new(fields: Fields, chip: Option<Flash>) -> Self {
        Self {
            fields,
            chip,
            registers: [0; 0x120 / 4],
            send: VecDeque::new(),
            received: VecDeque::new(),
            to_receive: 0,
            selected: false,
            command_frames: 0,
            receiving: false,
        }
    }

    /// What a reset of the controller does; its chip stays as it is.
    pub fn reset(&mut self) {
        self.stop();
        *self = Self::new(self.fields, self.chip.take());
    }

    /// The chip.
    pub fn chip(&self) -> Option<&Flash> {
        self.chip.as_ref()
    }

    /// The chip.
    pub fn chip_mut(&mut self) -> Option<&mut Flash> {
        self.chip.as_mut()
    }

    /// Whether an offset is the data register.
    pub fn is_data(offset: u32) -> bool {
        (DR_FIRST..=DR_LAST).contains(&offset)
    }

    /// Reads a register; reading the data register takes a frame out of the receive FIFO.
    pub fn read(&mut self, offset: u32) -> u32 {
        match offset {
            TXFLR => self.send.len() as u32,
            RXFLR => self.available().min(FIFO) as u32,
            SR => {
                let mut status = TX_NOT_FULL;
                if self.send.is_empty() {
                    status |= TX_EMPTY;
                }
                if self.available() > 0 {
                    status |= RX_NOT_EMPTY;
                }
                status
            }
            _ if Self::is_data(offset) => self.pop().unwrap_or(0),
            _ => self.register(offset),
        }
    }

    /// Writes a register; writing the data register sends a frame.
    pub fn write(&mut self, offset: u32, value: u32) {
        if Self::is_data(offset) {
            self.push(value);
            return;
        }
        if let Some(register) = self.registers.get_mut(offset as usize / 4) {
            *register = value;
        }
        match offset {
            SSIENR if value & 1 == 0 => self.stop(),
            SER if value == 0 => self.deselect(),
            SSIENR | SER => self.run(),
            _ => {}
        }
    }

    /// Room in the send FIFO, in frames.
    pub fn room(&self) -> usize {
        if self.is_on() { FIFO - self.send.len().min(FIFO) } else { 0 }
    }

    /// Frames that can be read.
    pub fn available(&self) -> usize {
        self.received.len() + self.to_receive
    }

    /// Sends a frame.
    pub fn push(&mut self, frame: u32) {
        if self.is_on() {
            self.send.push_back(frame);
            self.run();
        }
    }

    /// Takes a received frame.
    pub fn pop(&mut self) -> Option<u32> {
        if let Some(frame) = self.received.pop_front() {
            return Some(frame);
        }
        self.to_receive = self.to_receive.checked_sub(1)?;
        Some(self.exchange_frame(!0))
    }

    fn register(&self, offset: u32) -> u32 {
        self.registers.get(offset as usize / 4).copied().unwrap_or(0)
    }

    fn is_on(&self) -> bool {
        self.register(SSIENR) & 1 != 0
    }

    fn mode(&self) -> Mode {
        match self.register(CTRLR0) >> self.fields.mode & 3 {
            0 => Mode::Both,
            1 => Mode::Send,
            2 => Mode::Receive,
            _ => Mode::CommandThenReceive,
        }
    }

    /// Data lines: 1, 2, 4 or 8.
    fn lines(&self) -> u32 {
        1 << (self.register(CTRLR0) >> self.fields.lines & 3)
    }

    fn frame_bytes(&self) -> u32 {
        let bits = (self.register(CTRLR0) >> self.fields.frame_bits & 0x1F) + 1;
        bits.div_ceil(8)
    }

    /// Moves frames as far as the transfer can go on now.
    fn run(&mut self) {
        if !self.is_on() || self.register(SER) == 0 {
            return;
        }
        if !self.selected {
            self.selected = true;
            self.command_frames = 0;
            self.receiving = false;
            if let Some(chip) = &mut self.chip {
                chip.select();
            }
        }
        let mode = self.mode();
        let mut sent = false;
        while let Some(frame) = self.send.pop_front() {
            sent = true;
            match mode {
                // A frame only starts the clock.
                Mode::Receive if self.lines() == 1 => {}
                _ if self.lines() > 1 && self.command_frames < 2 => self.send_command(frame),
                Mode::Both => {
                    let answer = self.exchange_frame(frame);
                    self.received.push_back(answer);
                }
                _ => {
                    self.exchange_frame(frame);
                }
            }
        }
        let receives = match mode {
            Mode::Both | Mode::Send => false,
            Mode::CommandThenReceive => sent,
            Mode::Receive => sent || self.lines() > 1,
        };
        if receives && !self.receiving {
            self.receiving = true;
            self.to_receive = (self.register(CTRLR1) & 0xFFFF) as usize + 1;
        }
    }

    /// The first frame on several lines is the instruction, the second the address.
    fn send_command(&mut self, frame: u32) {
        let control = self.register(SPI_CTRLR0);
        let instruction_bytes = [0, 1, 1, 2][(control >> 8 & 3) as usize];
        let address_bytes = (control >> 2 & 0xF).div_ceil(2);
        let bytes = if self.command_frames == 0 { instruction_bytes } else { address_bytes };
        self.command_frames += 1;
        for n in (0..bytes.min(4)).rev() {
            self.exchange_byte((frame >> (8 * n)) as u8);
        }
        if self.command_frames == 2
            && let Some(chip) = &mut self.chip
        {
            chip.wait(control >> 11 & 0x1F);
        }
    }

    /// The first byte on the wire is the highest of the frame, unless the byte order is turned.
    fn exchange_frame(&mut self, frame: u32) -> u32 {
        let bytes = self.frame_bytes();
        let turned = self.register(ENDIAN) & 1 != 0;
        let mut answer = 0;
        for n in 0..bytes {
            let shift = 8 * if turned { n } else { bytes - 1 - n };
            answer |= u32::from(self.exchange_byte((frame >> shift) as u8)) << shift;
        }
        answer
    }

    fn exchange_byte(&mut self, byte: u8) -> u8 {
        match &mut self.chip {
            Some(chip) => chip.exchange(byte),
            None => 0xFF,
        }
    }

    fn deselect(&mut self) {
        if self.selected {
            self.selected = false;
            if let Some(chip) = &mut self.chip {
                chip.deselect();
            }
        }
        self.to_receive = 0;
    }

    fn stop(&mut self) {
        self.deselect();
        self.send.clear();
        self.received.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_flash(content: &[u8]) -> Spi {
        let mut flash = Flash::new();
        flash.bytes_mut()[0x300000..][..content.len()].copy_from_slice(content);
        Spi::new(Fields::SPI3, Some(flash))
    }

    #[test]
    fn reads_on_one_line() {
        let mut spi = with_flash(&[1, 2, 3, 4]);
        spi.write(CTRLR0, 3 << 10 | 7);
        spi.write(CTRLR1, 2);
        spi.write(SSIENR, 1);
        for byte in [0x03, 0x30, 0, 0] {
            spi.write(DR_FIRST, byte);
        }
        assert_eq!(spi.read(RXFLR), 0, "nothing is selected");
        spi.write(SER, 1);
        assert_eq!(spi.read(RXFLR), 3);
        assert_eq!([0; 3].map(|_| spi.read(DR_FIRST)), [1, 2, 3]);
        assert_eq!(spi.read(SR), TX_NOT_FULL | TX_EMPTY);
        spi.write(SER, 0);
        spi.write(SSIENR, 0);
    }

    #[test]
    fn reads_words_on_four_lines_in_either_byte_order() {
        for (endian, word) in [(0, 0x0102_0304), (1, 0x0403_0201)] {
            let mut spi = with_flash(&[1, 2, 3, 4]);
            spi.write(CTRLR0, 2 << 22 | 3 << 10 | 31);
            spi.write(SPI_CTRLR0, 4 << 11 | 2 << 8 | 8 << 2 | 1);
            spi.write(ENDIAN, endian);
            spi.write(CTRLR1, 0);
            spi.write(SSIENR, 1);
            spi.write(DR_FIRST, 0xEB);
            spi.write(DR_FIRST, 0x300000 << 8);
            spi.write(SER, 1);
            assert_eq!(spi.read(DR_FIRST), word);
            assert_eq!(spi.read(RXFLR), 0);
        }
    }

    #[test]
    fn an_empty_bus_reads_ones() {
        let mut spi = Spi::new(Fields::SPI0, None);
        spi.write(CTRLR0, 7 << 16);
        spi.write(SSIENR, 1);
        spi.write(SER, 1);
        spi.write(DR_FIRST, 0x40);
        assert_eq!(spi.read(DR_FIRST), 0xFF);
    }
}
