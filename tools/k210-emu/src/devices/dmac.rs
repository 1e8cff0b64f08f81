//! DMAC: six channels that move a block each. The board does the moving; here are the registers.

/// Number of channels.
pub const CHANNELS: usize = 6;

const CFG: u32 = 0x10;
const CHEN: u32 = 0x18;
const INT_STATUS: u32 = 0x30;
const CHANNEL0: u32 = 0x100;

const SAR: u32 = 0x00;
const DAR: u32 = 0x08;
const BLOCK_TS: u32 = 0x10;
const CTL: u32 = 0x18;
const CH_CFG: u32 = 0x20;
const INT_STATUS_ENABLE: u32 = 0x80;
const CH_INT_STATUS: u32 = 0x88;
const INT_SIGNAL_ENABLE: u32 = 0x90;
const INT_CLEAR: u32 = 0x98;

const BLOCK_DONE: u32 = 1;
const TRANSFER_DONE: u32 = 2;

/// One channel's registers and how far its block is.
#[derive(Clone, Copy)]
pub struct Channel {
    registers: [u32; 64],
    enabled: bool,
    status: u32,
    moved: usize,
    /// Moves nothing until it is disabled.
    stuck: bool,
}

impl Channel {
    fn new() -> Self {
        let mut registers = [0; 64];
        registers[INT_STATUS_ENABLE as usize / 4] = !0;
        registers[INT_SIGNAL_ENABLE as usize / 4] = !0;
        Self { registers, enabled: false, status: 0, moved: 0, stuck: false }
    }

    fn register(&self, offset: u32) -> u32 {
        self.registers[offset as usize / 4]
    }

    fn wide(&self, offset: u32) -> u64 {
        u64::from(self.register(offset)) | u64::from(self.register(offset + 4)) << 32
    }

    /// Bytes of one element of the source.
    pub fn width(&self) -> usize {
        1 << (self.register(CTL) >> 8 & 7)
    }

    /// Elements of the block that are not moved yet.
    pub fn remaining(&self) -> usize {
        (self.register(BLOCK_TS) & 0x3F_FFFF) as usize + 1 - self.moved
    }

    /// Address of the next element's source.
    pub fn source(&self) -> u64 {
        self.address(SAR, self.source_moves())
    }

    /// Address of the next element's destination.
    pub fn destination(&self) -> u64 {
        self.address(DAR, self.destination_moves())
    }

    /// The source address goes on from element to element.
    pub fn source_moves(&self) -> bool {
        self.register(CTL) >> 4 & 1 == 0
    }

    /// The destination address goes on from element to element.
    pub fn destination_moves(&self) -> bool {
        self.register(CTL) >> 6 & 1 == 0
    }

    fn address(&self, register: u32, moves: bool) -> u64 {
        self.wide(register) + if moves { (self.moved * self.width()) as u64 } else { 0 }
    }

    /// The source is a peripheral that asks for each transfer.
    pub fn waits_for_source(&self) -> bool {
        matches!(self.flow(), 2 | 3)
    }

    /// The destination is a peripheral that asks for each transfer.
    pub fn waits_for_destination(&self) -> bool {
        matches!(self.flow(), 1 | 3)
    }

    /// Transfer type: memory or peripheral, to memory or peripheral.
    fn flow(&self) -> u32 {
        self.register(CH_CFG + 4) & 7
    }

    /// The block is a part of a chain: linked lists, shadow registers or reloading.
    pub fn is_chained(&self) -> bool {
        self.register(CH_CFG) & 0xF != 0
    }

    /// `elements` more are moved; behind the last the channel is done.
    pub fn advance(&mut self, elements: usize) {
        self.moved += elements;
        if self.remaining() == 0 {
            self.enabled = false;
            self.moved = 0;
            self.status |= BLOCK_DONE | TRANSFER_DONE;
        }
    }

    fn interrupt(&self) -> bool {
        let enabled = self.register(INT_STATUS_ENABLE) & self.register(INT_SIGNAL_ENABLE);
        self.status & enabled != 0
    }
}

/// The DMA controller.
pub struct Dmac {
    configuration: u32,
    channels: [Channel; CHANNELS],
    /// Transfers begun so far.
    transfers: u64,
    /// The transfer that will never end.
    stuck_at: Option<u64>,
}

impl Dmac {
    /// The state after power comes.
    pub fn new() -> Self {
        Self {
            configuration: 0,
            channels: [Channel::new(); CHANNELS],
            transfers: 0,
            stuck_at: None,
        }
    }

    /// What a reset does.
    pub fn reset(&mut self) {
        self.configuration = 0;
        self.channels = [Channel::new(); CHANNELS];
    }

    /// Reads a register.
    pub fn read(&self, offset: u32) -> u32 {
        match (offset, self.channel_register(offset)) {
            (CFG, _) => self.configuration,
            (CHEN, _) => bits(self.channels.map(|c| c.enabled)),
            (INT_STATUS, _) => bits(self.channels.map(|c| c.interrupt())),
            (_, Some((channel, CH_INT_STATUS))) => {
                let channel = &self.channels[channel];
                channel.status & channel.register(INT_STATUS_ENABLE)
            }
            (_, Some((channel, register))) => self.channels[channel].register(register),
            _ => 0,
        }
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u32, value: u32) {
        match (offset, self.channel_register(offset)) {
            (CFG, _) => self.configuration = value,
            (CHEN, _) => self.enable_channels(value),
            (_, Some((channel, INT_CLEAR))) => self.channels[channel].status &= !value,
            (_, Some((channel, register))) => {
                self.channels[channel].registers[register as usize / 4] = value;
            }
            _ => {}
        }
    }

    /// Bits 8.. say which of the bits 0.. count.
    fn enable_channels(&mut self, value: u32) {
        for (n, channel) in self.channels.iter_mut().enumerate() {
            if value >> (8 + n) & 1 != 0 {
                let enable = value >> n & 1 != 0;
                if enable != channel.enabled {
                    channel.moved = 0;
                    channel.stuck = enable && self.stuck_at == Some(self.transfers);
                    self.transfers += u64::from(enable);
                }
                channel.enabled = enable;
            }
        }
    }

    fn channel_register(&self, offset: u32) -> Option<(usize, u32)> {
        let channel = offset.checked_sub(CHANNEL0)? / 0x100;
        ((channel as usize) < CHANNELS).then_some((channel as usize, offset & 0xFC))
    }

    /// The channel, if it has something to do.
    pub fn active(&mut self, channel: usize) -> Option<&mut Channel> {
        let on = self.configuration & 1 != 0;
        self.channels.get_mut(channel).filter(|c| on && c.enabled && !c.stuck)
    }

    /// Transfer `transfer`, counted from 0, never ends, until its channel is disabled.
    pub fn get_stuck_at(&mut self, transfer: u64) {
        self.stuck_at = Some(transfer);
    }

    /// The channels' interrupt lines, channel 0 in bit 0.
    pub fn interrupts(&self) -> u32 {
        if self.configuration & 2 != 0 { bits(self.channels.map(|c| c.interrupt())) } else { 0 }
    }
}

impl Default for Dmac {
    fn default() -> Self {
        Self::new()
    }
}

fn bits(flags: [bool; CHANNELS]) -> u32 {
    flags.iter().rev().fold(0, |bits, &flag| bits << 1 | u32::from(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_with_its_last_element() {
        let mut dmac = Dmac::new();
        dmac.write(CHANNEL0 + 0x100 + SAR, 0x8000_0000);
        dmac.write(CHANNEL0 + 0x100 + BLOCK_TS, 2);
        dmac.write(CHANNEL0 + 0x100 + CTL, 3 << 8 | 1 << 6);
        dmac.write(CHEN, 0x0202);
        assert!(dmac.active(1).is_none(), "the controller is off");
        dmac.write(CFG, 3);
        let channel = dmac.active(1).unwrap();
        assert_eq!((channel.width(), channel.remaining()), (8, 3));
        channel.advance(1);
        assert_eq!((channel.source(), channel.destination()), (0x8000_0008, 0));
        channel.advance(2);
        assert_eq!(dmac.read(CHEN), 0);
        assert_eq!(dmac.interrupts(), 2);
        dmac.write(CHANNEL0 + 0x100 + INT_STATUS_ENABLE, 0);
        assert_eq!(dmac.interrupts(), 0);
        assert_eq!(dmac.read(CHANNEL0 + 0x100 + CH_INT_STATUS), 0);
        dmac.write(CHANNEL0 + 0x100 + INT_STATUS_ENABLE, TRANSFER_DONE);
        assert_eq!(dmac.read(CHANNEL0 + 0x100 + CH_INT_STATUS), TRANSFER_DONE);
        dmac.write(CHANNEL0 + 0x100 + INT_CLEAR, !0);
        assert_eq!(dmac.interrupts(), 0);
    }
}
