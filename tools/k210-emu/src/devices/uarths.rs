//! UARTHS: the serial port of the REPL. What it sends goes to the console, which also types.

use std::collections::VecDeque;

const TXDATA: u32 = 0x00;
const RXDATA: u32 = 0x04;
const TXCTRL: u32 = 0x08;
const RXCTRL: u32 = 0x0C;
const IE: u32 = 0x10;
const IP: u32 = 0x14;
const DIV: u32 = 0x18;

const RX_EMPTY: u32 = 1 << 31;
const RX_WATERMARK: u32 = 2;
const TX_WATERMARK: u32 = 1;
/// Bytes that the receive FIFO holds.
const FIFO: usize = 8;

/// The serial port. Sending takes no time, so its FIFO is always empty.
#[derive(Default)]
pub struct Uarths {
    received: VecDeque<u8>,
    tx_control: u32,
    rx_control: u32,
    interrupt_enable: u32,
    divisor: u32,
}

impl Uarths {
    /// Reads a register; reading the data register takes a byte out of the FIFO.
    pub fn read(&mut self, offset: u32) -> u32 {
        match offset {
            RXDATA => self.received.pop_front().map_or(RX_EMPTY, u32::from),
            TXCTRL => self.tx_control,
            RXCTRL => self.rx_control,
            IE => self.interrupt_enable,
            IP => self.pending(),
            DIV => self.divisor,
            _ => 0,
        }
    }

    /// Writes a register; gives the byte to send, if it is the data register.
    pub fn write(&mut self, offset: u32, value: u32) -> Option<u8> {
        match offset {
            TXDATA => return Some(value as u8),
            TXCTRL => self.tx_control = value,
            RXCTRL => self.rx_control = value,
            IE => self.interrupt_enable = value,
            DIV => self.divisor = value,
            _ => {}
        }
        None
    }

    /// Room for another byte.
    pub fn can_receive(&self) -> bool {
        self.received.len() < FIFO
    }

    /// A byte arrives.
    pub fn receive(&mut self, byte: u8) {
        self.received.push_back(byte);
    }

    /// The interrupt line.
    pub fn interrupt(&self) -> bool {
        self.pending() & self.interrupt_enable != 0
    }

    fn pending(&self) -> u32 {
        let watermark = |control: u32| (control >> 16 & 7) as usize;
        let mut pending = 0;
        if watermark(self.tx_control) > 0 {
            pending |= TX_WATERMARK;
        }
        if self.received.len() > watermark(self.rx_control) {
            pending |= RX_WATERMARK;
        }
        pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_while_bytes_wait() {
        let mut uart = Uarths::default();
        uart.write(IE, RX_WATERMARK);
        assert_eq!(uart.read(RXDATA), RX_EMPTY);
        uart.receive(b'a');
        assert!(uart.interrupt());
        assert_eq!(uart.read(RXDATA), u32::from(b'a'));
        assert!(!uart.interrupt());
        assert_eq!(uart.write(TXDATA, 0x141), Some(0x41));
    }
}
