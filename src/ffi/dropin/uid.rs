//! `sipeed_uid_get`: the number of the chip.

use super::super::get_mut;
use crate::error::What;
use sha2::{compress256, digest::generic_array::GenericArray};

/// Bytes of a chip's number, in its fuses and behind the hash.
const BYTES: usize = 32;

/// Gives the number of the chip, the SHA-256 of 32 bytes of its fuses; false where they cannot be
/// read.
///
/// # Safety
/// `uid` points to 32 bytes, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_uid_get(uid: *mut u8) -> bool {
    // SAFETY: the caller's promise.
    let uid = unsafe { get_mut(What::PlaceForTheNumber, uid.cast::<[u8; BYTES]>()) };
    match (uid, fuses::read()) {
        (Ok(uid), Some(bytes)) => {
            *uid = sha256(&bytes);
            true
        }
        _ => false,
    }
}

/// SHA-256 of as many bytes: one block.
fn sha256(bytes: &[u8; BYTES]) -> [u8; BYTES] {
    const BEGIN: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    const BITS: [u8; 8] = (BYTES as u64 * 8).to_be_bytes();
    let mut block = [0; 64];
    block[..BYTES].copy_from_slice(bytes);
    block[BYTES] = 0x80;
    block[64 - BITS.len()..].copy_from_slice(&BITS);
    let mut state = BEGIN;
    compress256(&mut state, &[GenericArray::from(block)]);
    bytemuck::must_cast(state.map(u32::to_be))
}

/// The chip's fuses (OTP); k210-pac does not describe their registers.
#[cfg(target_os = "none")]
mod fuses {
    use super::BYTES;
    use core::ptr::with_exposed_provenance_mut;
    use k210_pac::SYSCTL;

    const BASE: usize = 0x5042_0000;
    /// Of the chip's number in the fuses.
    const ADDRESS: usize = 0x3d90;
    /// Fuses to switch on behind the reset values, and what to write there.
    const PREPARE: &[(u8, u8)] = &[
        (CPU_CONTROL, 0),
        (0x44, 21), // divider of the clock
        (0x5c, 0),
        (0x0c, 0),
        (0x28, 0),
        (0x7c, 1),
        (0x80, 1),
        (0x84, 0),
        (0x88, 0),
        (0x8c, 0),
        (0x90, 0),
        (0x94, 0),
        (0x98, 0),
        (0x9c, 0),
        (0xa0, 1),
        (0x58, 0),
        (MODE, 0),
        (WRONG_ADDRESS, 0),
        (CHIP_ENABLE, 0),
    ];
    const CHIP_ENABLE: u8 = 0x00;
    const MODE: u8 = 0x08;
    const LAST: u8 = 0x20;
    const DATA: u8 = 0x24;
    const BIT_ADDRESS: u8 = 0x30;
    const TAKES_ADDRESS: u8 = 0x3c;
    const WRONG_ADDRESS: u8 = 0x60;
    const CPU_CONTROL: u8 = 0x78;
    const DATA_READY: u8 = 0xac;
    /// Reads of a register that does not become ready.
    const PATIENCE: u32 = 1 << 24;

    fn register(offset: u8) -> *mut u32 {
        with_exposed_provenance_mut(BASE + usize::from(offset))
    }

    fn write(offset: u8, value: u32) {
        // SAFETY: a register of the fuses, which nobody else uses at this time.
        unsafe { register(offset).write_volatile(value) }
    }

    fn get(offset: u8) -> u32 {
        // SAFETY: as in `write`.
        unsafe { register(offset).read_volatile() }
    }

    fn wait(offset: u8) -> Option<()> {
        (0..PATIENCE).find(|_| get(offset) != 0).map(|_| ())
    }

    fn read_bytes() -> Option<[u8; BYTES]> {
        PREPARE.iter().for_each(|&(offset, value)| write(offset, value.into()));
        let mut bytes = [0; BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            wait(TAKES_ADDRESS)?;
            if index == BYTES - 1 {
                write(LAST, 1);
            }
            write(BIT_ADDRESS, (ADDRESS + index) as u32 * 8);
            wait(DATA_READY)?;
            if get(WRONG_ADDRESS) == 1 {
                return None;
            }
            *byte = get(DATA) as u8;
        }
        Some(bytes)
    }

    pub fn read() -> Option<[u8; BYTES]> {
        // SAFETY: k210-pac's address of the system controller, read and written as volatile cells.
        let clocks = unsafe { &(*SYSCTL::ptr()).clk_en_peri };
        clocks.modify(|_, w| w.otp_clk_en().set_bit());
        let bytes = read_bytes();
        clocks.modify(|_, w| w.otp_clk_en().clear_bit());
        bytes
    }
}

/// A PC has none.
#[cfg(not(target_os = "none"))]
mod fuses {
    pub fn read() -> Option<[u8; super::BYTES]> {
        None
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_hashed_as_fips_180_says() {
        let hash = super::sha256(&[0; 32]);
        assert_eq!(hash[..8], [0x66, 0x68, 0x7a, 0xad, 0xf8, 0x62, 0xbd, 0x77]);
        assert_eq!(hash[24..], [0x90, 0x2a, 0x59, 0x1d, 0x0d, 0x5f, 0x29, 0x25]);
    }
}
