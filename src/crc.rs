//! CRC-32 as in zip: of metadata, of classifier files, and of what a node wrote.

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

/// The checksum, without a table, which would cost the chip a kilobyte of flash.
pub const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);
