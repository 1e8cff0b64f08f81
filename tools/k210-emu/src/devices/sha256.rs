//! SHA-256 unit: blocks of 16 words in, the hash out.

use sha2::{compress256, digest::generic_array::GenericArray};

const DATA_IN: u32 = 0x20;
const NUMBER: u32 = 0x28;
const FUNCTION0: u32 = 0x2C;
const FUNCTION1: u32 = 0x34;

const BLOCK_BYTES: usize = 64;
const START: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];

/// The unit. The message comes padded, its bytes in memory order.
#[derive(Default)]
pub struct Sha256 {
    state: [u32; 8],
    block: Vec<u8>,
    blocks_done: u32,
    number: u32,
    function: [u32; 2],
}

impl Sha256 {
    /// Reads a register; the words of the hash stand in reverse, bytes turned.
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            0..DATA_IN => self.state[7 - offset as usize / 4].swap_bytes(),
            NUMBER => self.number | self.blocks_done << 16,
            FUNCTION0 => {
                let done = self.blocks_done >= self.number;
                self.function[0] & !1 | u32::from(done)
            }
            FUNCTION1 => self.function[1],
            _ => 0,
        }
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u32, value: u32) {
        match offset {
            DATA_IN => self.push(value),
            NUMBER => self.number = value & 0xFFFF,
            FUNCTION0 => {
                self.function[0] = value;
                if value & 1 != 0 {
                    self.state = START;
                    self.block.clear();
                    self.blocks_done = 0;
                }
            }
            FUNCTION1 => self.function[1] = value,
            _ => {}
        }
    }

    fn push(&mut self, word: u32) {
        self.block.extend(word.to_le_bytes());
        if self.block.len() == BLOCK_BYTES {
            compress256(&mut self.state, &[*GenericArray::from_slice(&self.block)]);
            self.block.clear();
            self.blocks_done += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_abc() {
        let mut sha = Sha256::default();
        sha.write(NUMBER, 1);
        sha.write(FUNCTION0, 1 << 16 | 1);
        let mut block = [0; BLOCK_BYTES];
        block[..4].copy_from_slice(b"abc\x80");
        block[63] = 24;
        assert_eq!(sha.read(FUNCTION0) & 1, 0);
        for word in block.chunks_exact(4) {
            sha.write(DATA_IN, u32::from_le_bytes(word.try_into().unwrap()));
        }
        assert_eq!(sha.read(FUNCTION0) & 1, 1);
        // Firmware stores the registers from the last to the first.
        let hash: Vec<u8> = (0..8).rev().flat_map(|n| sha.read(4 * n).to_le_bytes()).collect();
        assert_eq!(hash[..4], [0xBA, 0x78, 0x16, 0xBF]);
        assert_eq!(hash[28..], [0xF2, 0x00, 0x15, 0xAD]);
    }
}
