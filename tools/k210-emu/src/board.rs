//! Everything around the CPU: the address map, time, DMA transfers and interrupt lines.
//!
//! Time is counted in CPU cycles and follows from the code that is run, so that a run is the same
//! every time. It is an order of events, not a measurement: see [`Board::pass`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Error, anyhow};
use maix_kpu::kpu::Rounding;

use crate::{
    console::{Console, Input},
    devices::{
        clint::Clint,
        dmac::{self, Channel, Dmac},
        flash::Flash,
        kpu::{self, Kpu},
        otp::Otp,
        plic::{Lines, Plic},
        sha256::Sha256,
        spi::{Fields, Spi},
        sysctl::Sysctl,
        uarths::Uarths,
    },
    memory::Memory,
};

/// Bit of the software interrupt in `mip`.
const SOFTWARE: u64 = 1 << 3;
/// Bit of the timer interrupt in `mip`.
const TIMER: u64 = 1 << 7;
/// Bit of the external interrupt in `mip`.
const EXTERNAL: u64 = 1 << 11;

/// PLIC source of the KPU.
const KPU_SOURCE: u32 = 25;
/// PLIC source of DMA channel 0; the others follow.
const DMA_SOURCE: u32 = 27;
/// PLIC source of UARTHS.
const UARTHS_SOURCE: u32 = 33;

/// Cycles between two bytes that the console types.
const BYTE_CYCLES: u64 = 4000;
/// Cycles from the cause of a DMA transfer to its end.
const DMA_CYCLES: u64 = 200;
/// What reading a clock takes, in cycles: firmware that waits by looking at one is soon done.
const CLOCK_READ_CYCLES: u64 = 2000;

/// A peripheral, or several of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Device {
    Clint,
    Plic,
    Uarths,
    Kpu,
    Dmac,
    Spi(usize),
    Sha256,
    Sysctl,
    Otp,
    /// A serial port whose output is shown and which never receives.
    Uart,
    /// Pins that are all high.
    Gpio,
    /// Registers that keep what is written, which is all that firmware wants of them.
    Registers,
    /// The same, but firmware may want more.
    Absent,
}

/// Base, size, what it is, and its name.
const MAP: &[(u64, u64, Device, &str)] = &[
    (0x0200_0000, 0x1_0000, Device::Clint, "CLINT"),
    (0x0C00_0000, 0x400_0000, Device::Plic, "PLIC"),
    (0x3800_0000, 0x1000, Device::Uarths, "UARTHS"),
    (0x3800_1000, 0x1000, Device::Gpio, "GPIOHS"),
    (0x4080_0000, 0x1000, Device::Kpu, "KPU"),
    (0x4200_0000, 0x40_0000, Device::Absent, "FFT"),
    (0x5000_0000, 0x1000, Device::Dmac, "DMAC"),
    (0x5020_0000, 0x1000, Device::Gpio, "GPIO"),
    (0x5021_0000, 0x1000, Device::Uart, "UART1"),
    (0x5022_0000, 0x1000, Device::Uart, "UART2"),
    (0x5023_0000, 0x1000, Device::Uart, "UART3"),
    (0x5024_0000, 0x1000, Device::Absent, "SPI2"),
    (0x5025_0000, 0x1000, Device::Absent, "I2S0"),
    (0x5026_0000, 0x1000, Device::Absent, "I2S1"),
    (0x5027_0000, 0x1000, Device::Absent, "I2S2"),
    (0x5028_0000, 0x1000, Device::Absent, "I2C0"),
    (0x5029_0000, 0x1000, Device::Absent, "I2C1"),
    (0x502A_0000, 0x1000, Device::Absent, "I2C2"),
    (0x502B_0000, 0x1000, Device::Registers, "FPIOA"),
    (0x502C_0000, 0x1000, Device::Sha256, "SHA256"),
    (0x502D_0000, 0x1000, Device::Absent, "TIMER0"),
    (0x502E_0000, 0x1000, Device::Absent, "TIMER1"),
    (0x502F_0000, 0x1000, Device::Absent, "TIMER2"),
    (0x5040_0000, 0x1000, Device::Registers, "WDT0"),
    (0x5041_0000, 0x1000, Device::Registers, "WDT1"),
    (0x5042_0000, 0x1000, Device::Otp, "OTP"),
    (0x5043_0000, 0x1000, Device::Absent, "DVP"),
    (0x5044_0000, 0x1000, Device::Sysctl, "SYSCTL"),
    (0x5045_0000, 0x1000, Device::Absent, "AES"),
    (0x5046_0000, 0x1000, Device::Registers, "RTC"),
    (0x5200_0000, 0x1000, Device::Spi(0), "SPI0"),
    (0x5300_0000, 0x1000, Device::Spi(1), "SPI1"),
    (0x5400_0000, 0x1000, Device::Spi(2), "SPI3"),
];

/// Regions of the address space that belong to peripherals: base and size.
pub const REGIONS: &[(u64, u64)] = &[
    (0x0200_0000, 0x1_0000),
    (0x0C00_0000, 0x400_0000),
    (0x3800_0000, 0x2000),
    (0x4080_0000, 0x10_0000),
    (0x4200_0000, 0x40_0000),
    (0x5000_0000, 0x100_0000),
    (0x5200_0000, 0x300_0000),
];

/// Position of SPI3, the flash chip's, among the controllers.
const FLASH_SPI: usize = 2;
/// Request lines of the SPI controllers for receiving; those for sending follow each.
const SPI_REQUESTS: [u32; 3] = [0, 2, 6];
/// Request line of the KPU's output FIFO.
const KPU_REQUEST: u32 = 22;
/// Bit of the KPU in the peripheral reset register.
const KPU_RESET: u32 = 1 << 2;
/// Offset of that register in SYSCTL.
const PERIPHERAL_RESET: u32 = 0x34;

/// Something that goes wrong on the chip, for trying what the firmware does then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This KPU layer, counted from 0, never ends, until the KPU is reset.
    Kpu(u64),
    /// This DMA transfer, counted from 0, never ends, until its channel is disabled.
    Dma(u64),
    /// The next read of this flash address gives ones, and so does the rest of that read.
    Flash(u64),
}

/// One end of a DMA transfer.
#[derive(Clone, Copy, PartialEq)]
enum Port {
    Memory,
    Spi(usize),
    KpuOut,
}

/// The chip without its CPU.
pub struct Board {
    /// RAM.
    pub memory: Memory,
    kpu: Kpu,
    console: Box<dyn Console>,
    clint: Clint,
    plic: Plic,
    sysctl: Sysctl,
    uarths: Uarths,
    dmac: Dmac,
    spi: [Spi; 3],
    sha256: Sha256,
    otp: Otp,
    /// Registers of devices that keep what is written, by address.
    registers: BTreeMap<u64, u32>,
    cycles: u64,
    next_event: u64,
    next_input: u64,
    input_ended: bool,
    dma_at: u64,
    /// The CPU's `mip`.
    interrupts: u64,
    fault: Option<Error>,
    noted: BTreeSet<String>,
}

impl Board {
    /// A chip to which power comes.
    pub fn new(flash: Flash, console: Box<dyn Console>, trace_kpu: bool) -> Self {
        Self {
            memory: Memory::new(),
            kpu: Kpu::new(trace_kpu),
            console,
            clint: Clint::new(),
            plic: Plic::new(),
            sysctl: Sysctl::new(),
            uarths: Uarths::default(),
            dmac: Dmac::new(),
            spi: [
                Spi::new(Fields::SPI0, None),
                Spi::new(Fields::SPI0, None),
                Spi::new(Fields::SPI3, Some(flash)),
            ],
            sha256: Sha256::default(),
            otp: Otp::default(),
            registers: BTreeMap::new(),
            cycles: 0,
            next_event: 0,
            next_input: BYTE_CYCLES,
            input_ended: false,
            dma_at: u64::MAX,
            interrupts: 0,
            fault: None,
            noted: BTreeSet::new(),
        }
    }

    /// What a reset that the firmware asks for does. RAM, flash, fuses and console stay as they are.
    pub fn reset(&mut self) {
        self.kpu.reset();
        self.clint = Clint::new();
        self.plic = Plic::new();
        self.sysctl = Sysctl::after_soft_reset();
        self.uarths = Uarths::default();
        self.dmac.reset();
        self.spi.iter_mut().for_each(Spi::reset);
        self.sha256 = Sha256::default();
        self.registers.clear();
        self.dma_at = u64::MAX;
        self.next_event = self.cycles;
        self.update_interrupts();
    }

    /// How the KPU rounds activations from now on.
    pub fn set_rounding(&mut self, rounding: Rounding) {
        self.kpu.set_rounding(rounding);
    }

    /// The chip's fuses, to be filled.
    pub fn fuses_mut(&mut self) -> &mut [u8] {
        self.otp.fuses_mut()
    }

    /// Lets something go wrong.
    pub fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Kpu(layer) => self.kpu.get_stuck_at(layer),
            Fault::Dma(transfer) => self.dmac.get_stuck_at(transfer),
            Fault::Flash(address) => {
                if let Some(chip) = self.spi[FLASH_SPI].chip_mut() {
                    chip.fail_at(address as usize);
                }
            }
        }
    }

    /// The CPU reads a register.
    pub fn read(&mut self, address: u64, size: usize) -> u64 {
        let word = self.read_word(address & !3);
        u64::from(word) >> (8 * (address & 3)) & mask(size)
    }

    /// The CPU writes a register. Parts of a register leave the rest as it reads.
    pub fn write(&mut self, address: u64, size: usize, value: u64) {
        let shift = 8 * (address & 3);
        let value = match size {
            1 | 2 => {
                let old = u64::from(self.read_word(address & !3));
                old & !(mask(size) << shift) | (value & mask(size)) << shift
            }
            _ => value,
        };
        self.write_word(address & !3, value as u32);
        self.update_interrupts();
    }

    fn read_word(&mut self, address: u64) -> u32 {
        let Some((device, offset, name)) = device_at(address) else {
            self.fail(anyhow!("reads {address:#x}, where no peripheral is"));
            return 0;
        };
        let register = || self.registers.get(&address).copied().unwrap_or(0);
        match device {
            Device::Clint => {
                let time = if Clint::is_time(offset) { self.read_clock() } else { self.cycles };
                self.clint.read(offset, time)
            }
            Device::Plic => {
                let value = self.plic.read(offset);
                self.update_interrupts();
                value
            }
            Device::Uarths => {
                let value = self.uarths.read(offset);
                self.update_interrupts();
                value
            }
            Device::Kpu => self.kpu.read(offset),
            Device::Dmac => self.dmac.read(offset),
            Device::Spi(n) => self.spi[n].read(offset),
            Device::Sha256 => self.sha256.read(offset),
            Device::Sysctl => self.sysctl.read(offset),
            Device::Otp => self.otp.read(offset),
            // The line status says that everything is sent.
            Device::Uart if offset == 0x14 => 0x60,
            Device::Gpio if (name, offset) == ("GPIO", 0x50) || (name, offset) == ("GPIOHS", 0) => {
                !0
            }
            Device::Uart | Device::Gpio | Device::Registers => register(),
            Device::Absent => {
                let value = register();
                self.note(format!("{name} is not emulated; its registers keep what is written"));
                value
            }
        }
    }

    fn write_word(&mut self, address: u64, value: u32) {
        let Some((device, offset, _)) = device_at(address) else {
            self.fail(anyhow!("writes {address:#x}, where no peripheral is"));
            return;
        };
        match device {
            Device::Clint => {
                self.clint.write(offset, value);
                self.schedule(self.clint.due());
            }
            Device::Plic => self.plic.write(offset, value),
            Device::Uarths => {
                if let Some(byte) = self.uarths.write(offset, value) {
                    self.console.output(byte);
                }
            }
            Device::Kpu => {
                self.kpu.write(offset, value, self.cycles);
                self.schedule(self.kpu.due());
            }
            Device::Dmac => {
                self.dmac.write(offset, value);
                self.schedule_dma();
            }
            Device::Spi(n) => {
                self.spi[n].write(offset, value);
                self.schedule_dma();
            }
            Device::Sha256 => self.sha256.write(offset, value),
            Device::Sysctl => {
                self.sysctl.write(offset, value);
                if offset == PERIPHERAL_RESET && value & KPU_RESET != 0 {
                    self.kpu.reset();
                }
                self.schedule_dma();
            }
            Device::Uart if offset == 0 => eprint!("{}", char::from(value as u8)),
            Device::Otp => self.otp.write(offset, value),
            Device::Uart | Device::Gpio | Device::Registers | Device::Absent => {
                self.registers.insert(address, value);
            }
        }
    }

    /// The CPU has run `bytes` of code. Two bytes of code take a cycle, as about 1.5 cycles an
    /// instruction.
    pub fn pass(&mut self, bytes: u32) {
        self.cycles += u64::from(bytes / 2);
        if self.cycles >= self.next_event {
            self.run_events();
        }
    }

    /// The CPU looks at a clock, in cycles.
    pub fn read_clock(&mut self) -> u64 {
        self.cycles += CLOCK_READ_CYCLES;
        self.cycles
    }

    /// The CPU sleeps: time goes on to the next event. False if there is none, and none can come.
    pub fn sleep(&mut self) -> bool {
        self.console.wait();
        if self.input_ended && self.next_event_but_input() == u64::MAX {
            return false;
        }
        self.cycles = self.cycles.max(self.next_event);
        self.run_events();
        true
    }

    /// The CPU's `mip`.
    pub fn interrupts(&self) -> u64 {
        self.interrupts
    }

    /// What ended the run from inside the chip.
    pub fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    /// The console, whose word ends the run too.
    pub fn console(&mut self) -> &mut dyn Console {
        &mut *self.console
    }

    /// The firmware has asked for a reset of the chip.
    pub fn reset_requested(&self) -> bool {
        self.sysctl.reset_requested()
    }

    /// The flash chip.
    pub fn flash(&self) -> Option<&Flash> {
        self.spi[FLASH_SPI].chip()
    }

    fn schedule(&mut self, at: u64) {
        self.next_event = self.next_event.min(at);
    }

    fn schedule_dma(&mut self) {
        self.dma_at = self.dma_at.min(self.cycles + DMA_CYCLES);
        self.schedule(self.dma_at);
    }

    fn next_event_but_input(&self) -> u64 {
        let timer =
            if self.clint.timer_interrupt(self.cycles) { u64::MAX } else { self.clint.due() };
        self.kpu.due().min(self.dma_at).min(timer)
    }

    fn run_events(&mut self) {
        if let Err(error) = self.kpu.tick(self.cycles, &mut self.memory) {
            self.fail(error);
        }
        if let Some(lines) = self.kpu.take_trace() {
            eprint!("{lines}");
        }
        if self.kpu.available() > 0 {
            self.dma_at = self.dma_at.min(self.cycles);
        }
        if self.cycles >= self.dma_at {
            self.dma_at = u64::MAX;
            while (0..dmac::CHANNELS).any(|channel| self.run_channel(channel)) {}
        }
        if self.cycles >= self.next_input {
            self.type_byte();
        }
        self.next_event = self.next_event_but_input().min(self.next_input);
        self.update_interrupts();
    }

    fn type_byte(&mut self) {
        self.next_input = self.cycles + BYTE_CYCLES;
        if self.uarths.can_receive() {
            match self.console.input() {
                Input::Byte(byte) => self.uarths.receive(byte),
                Input::Nothing => {}
                Input::End => {
                    self.input_ended = true;
                    self.next_input = u64::MAX;
                }
            }
        }
    }

    fn update_interrupts(&mut self) {
        let mut lines: Lines = Lines::from(self.dmac.interrupts()) << DMA_SOURCE;
        if self.kpu.interrupt() {
            lines |= 1 << KPU_SOURCE;
        }
        if self.uarths.interrupt() {
            lines |= 1 << UARTHS_SOURCE;
        }
        self.plic.set_lines(lines);
        self.interrupts = 0;
        if self.plic.interrupt() {
            self.interrupts |= EXTERNAL;
        }
        if self.clint.timer_interrupt(self.cycles) {
            self.interrupts |= TIMER;
        }
        if self.clint.software_interrupt() {
            self.interrupts |= SOFTWARE;
        }
    }

    /// Moves what a DMA channel can move now; says whether it moved something.
    fn run_channel(&mut self, n: usize) -> bool {
        let Some(channel) = self.dmac.active(n).map(|channel| *channel) else { return false };
        if channel.is_chained() {
            self.fail(anyhow!(
                "DMA channel {n} is set up for several blocks, which is not emulated"
            ));
            return false;
        }
        let (Some(source), Some(destination)) =
            (self.port(channel.source()), self.port(channel.destination()))
        else {
            self.fail(anyhow!(
                "DMA channel {n} goes from {:#x} to {:#x}; one is neither RAM nor a data register \
                 that is emulated",
                channel.source(),
                channel.destination()
            ));
            return false;
        };
        if channel.waits_for_source() && !self.is_requested(n, source, 0)
            || channel.waits_for_destination() && !self.is_requested(n, destination, 1)
        {
            return false;
        }
        let readable = match source {
            Port::Memory => usize::MAX,
            Port::Spi(n) => self.spi[n].available(),
            Port::KpuOut => self.kpu.available() / channel.width(),
        };
        let writable = match destination {
            Port::Memory => usize::MAX,
            Port::Spi(n) => self.spi[n].room(),
            Port::KpuOut => 0,
        };
        let count = channel.remaining().min(readable).min(writable);
        if count == 0 {
            return false;
        }
        if self.move_elements(&channel, source, destination, count).is_none() {
            self.fail(anyhow!("DMA channel {n} runs out of RAM"));
            return false;
        }
        if let Some(channel) = self.dmac.active(n) {
            channel.advance(count);
        }
        true
    }

    fn move_elements(
        &mut self,
        channel: &Channel,
        source: Port,
        destination: Port,
        count: usize,
    ) -> Option<()> {
        let width = channel.width();
        let (mut from, mut to) = (channel.source(), channel.destination());
        let straight = channel.source_moves() && channel.destination_moves();
        if straight && (source, destination) == (Port::Memory, Port::Memory) {
            return self.memory.copy(from, to, count * width);
        }
        let mut element = [0; 128];
        let element = element.get_mut(..width)?;
        for _ in 0..count {
            match source {
                Port::Memory => element.copy_from_slice(self.memory.get(from, width)?),
                Port::Spi(n) => {
                    let frame = self.spi[n].pop()?.to_le_bytes();
                    element.fill(0);
                    element.iter_mut().zip(frame).for_each(|(to, from)| *to = from);
                }
                Port::KpuOut => self.kpu.take(element),
            }
            match destination {
                Port::Memory => self.memory.get_mut(to, width)?.copy_from_slice(element),
                Port::Spi(n) => {
                    let frame = element.iter().rev().fold(0, |word, &b| word << 8 | u32::from(b));
                    self.spi[n].push(frame);
                }
                Port::KpuOut => return None,
            }
            if channel.source_moves() {
                from += width as u64;
            }
            if channel.destination_moves() {
                to += width as u64;
            }
        }
        Some(())
    }

    fn port(&self, address: u64) -> Option<Port> {
        if Memory::contains(address) {
            return Some(Port::Memory);
        }
        match device_at(address)? {
            (Device::Spi(n), offset, _) if Spi::is_data(offset) => Some(Port::Spi(n)),
            (Device::Kpu, kpu::DATA_OUT, _) => Some(Port::KpuOut),
            _ => None,
        }
    }

    /// Whether the channel is connected to the request line of its peripheral; if not, it waits
    /// for ever.
    fn is_requested(&mut self, n: usize, port: Port, sending: u32) -> bool {
        let wanted = match port {
            Port::Memory => return true,
            Port::Spi(n) => SPI_REQUESTS[n] + sending,
            Port::KpuOut => KPU_REQUEST,
        };
        let connected = self.sysctl.dma_request(n);
        if connected != wanted {
            self.note(format!(
                "DMA channel {n} waits for request {connected}, but its peripheral makes request \
                 {wanted} (SYSCTL's DMA select)"
            ));
        }
        connected == wanted
    }

    fn fail(&mut self, error: Error) {
        self.fault.get_or_insert(error);
    }

    fn note(&mut self, text: String) {
        if !self.noted.contains(&text) {
            eprintln!("k210-emu: {text}");
            self.noted.insert(text);
        }
    }
}

/// The device at an address, the offset from its base, and its name.
fn device_at(address: u64) -> Option<(Device, u32, &'static str)> {
    let next = MAP.partition_point(|&(base, ..)| base <= address);
    let &(base, size, device, name) = MAP.get(next.checked_sub(1)?)?;
    (address - base < size).then_some((device, (address - base) as u32, name))
}

const fn mask(size: usize) -> u64 {
    match size {
        1 => 0xFF,
        2 => 0xFFFF,
        _ => 0xFFFF_FFFF,
    }
}
