//! KPU: the layer FIFO, interrupts and the output FIFO around the library's simulator.

use std::{collections::VecDeque, fmt::Write as _};

use anyhow::{Context, Result};
use maix_kpu::{
    crc::CRC,
    kpu::{
        ACTIVATION_BYTES, Accelerator, Job, Layer, Rounding, Simulator, simulator::SCRATCH_BYTES,
    },
};

use crate::memory::Memory;

const LAYER_FIFO: u32 = 0x00;
const INT_STATUS: u32 = 0x08;
const INT_RAW: u32 = 0x10;
const INT_MASK: u32 = 0x18;
const INT_CLEAR: u32 = 0x20;
const FIFO_THRESHOLD: u32 = 0x28;
/// The output FIFO, which a DMA channel empties.
pub const DATA_OUT: u32 = 0x30;
const FIFO_CONTROL: u32 = 0x38;
const EIGHT_BIT_MODE: u32 = 0x40;

const CALC_DONE: u32 = 1;
const ALMOST_EMPTY: u32 = 2;
const ALMOST_FULL: u32 = 4;

/// Words of a layer.
const WORDS: usize = 12;

/// CPU cycles from the start of a layer to its end. The emulator does not model how fast the KPU
/// is; it is slow enough that firmware which does not wait reads what was there before.
const LAYER_CYCLES: u64 = 2000;

/// A layer as it was pushed.
struct Pushed {
    words: [u64; WORDS],
    eight_bit: bool,
}

/// The accelerator.
pub struct Kpu {
    words: Vec<u64>,
    /// Low half of the word being written.
    low: u32,
    queue: VecDeque<Pushed>,
    /// When the first layer of the queue is done, in CPU cycles.
    done_at: Option<u64>,
    raw: u32,
    mask: u32,
    threshold: u32,
    control: u32,
    eight_bit: bool,
    out: VecDeque<u8>,
    scratch: Vec<u8>,
    layers: u64,
    /// A line per layer, to be printed, if wanted.
    trace: Option<String>,
    /// The layer that will never end.
    stuck_at: Option<u64>,
    rounding: Rounding,
}

impl Kpu {
    /// The state after a reset; with `trace`, layers leave a line each.
    pub fn new(trace: bool) -> Self {
        Self {
            words: Vec::new(),
            low: 0,
            queue: VecDeque::new(),
            done_at: None,
            raw: 0,
            mask: CALC_DONE | ALMOST_EMPTY | ALMOST_FULL,
            threshold: 0,
            control: 0,
            eight_bit: false,
            out: VecDeque::new(),
            scratch: vec![0; SCRATCH_BYTES],
            layers: 0,
            trace: trace.then(String::new),
            stuck_at: None,
            rounding: Rounding::default(),
        }
    }

    /// Layer `layer`, counted from 0, never ends, until the KPU is reset.
    pub fn get_stuck_at(&mut self, layer: u64) {
        self.stuck_at = Some(layer);
    }

    /// How activations are rounded from now on.
    pub fn set_rounding(&mut self, rounding: Rounding) {
        self.rounding = rounding;
    }

    /// What a reset by the system controller does.
    pub fn reset(&mut self) {
        self.words.clear();
        self.queue.clear();
        self.out.clear();
        self.done_at = None;
        self.raw = 0;
        self.mask = CALC_DONE | ALMOST_EMPTY | ALMOST_FULL;
    }

    /// Number of layers that are done.
    pub fn layers(&self) -> u64 {
        self.layers
    }

    /// Reads a register; reading the output FIFO takes four bytes.
    pub fn read(&mut self, offset: u32) -> u32 {
        match offset {
            INT_STATUS => self.raw & !self.mask,
            INT_RAW => self.raw,
            INT_MASK => self.mask,
            FIFO_THRESHOLD => self.threshold,
            FIFO_CONTROL => self.control,
            EIGHT_BIT_MODE => self.eight_bit.into(),
            DATA_OUT | 0x34 => {
                let mut word = [0; 4];
                self.take(&mut word);
                u32::from_le_bytes(word)
            }
            _ => 0,
        }
    }

    /// Writes a register; the layer FIFO takes words of 64 bits, low half first.
    pub fn write(&mut self, offset: u32, value: u32, cycles: u64) {
        match offset {
            LAYER_FIFO => self.low = value,
            0x04 => self.push(u64::from(self.low) | u64::from(value) << 32, cycles),
            INT_MASK => self.mask = value,
            INT_CLEAR => self.raw &= !value,
            FIFO_THRESHOLD => self.threshold = value,
            FIFO_CONTROL => self.control = value,
            EIGHT_BIT_MODE => self.eight_bit = value & 1 != 0,
            _ => {}
        }
    }

    fn push(&mut self, word: u64, cycles: u64) {
        self.words.push(word);
        let Ok(words) = <[u64; WORDS]>::try_from(&self.words[..]) else { return };
        self.words.clear();
        self.queue.push_back(Pushed { words, eight_bit: self.eight_bit });
        if self.queue.len() >= (self.threshold & 0xF).max(1) as usize {
            self.raw |= ALMOST_FULL;
        }
        self.start(cycles);
    }

    fn start(&mut self, cycles: u64) {
        if self.done_at.is_none() && !self.queue.is_empty() {
            let stuck = self.stuck_at.take_if(|layer| *layer == self.layers).is_some();
            self.done_at = Some(if stuck { u64::MAX } else { cycles + LAYER_CYCLES });
        }
    }

    /// When the running layer is done, in CPU cycles.
    pub fn due(&self) -> u64 {
        self.done_at.unwrap_or(u64::MAX)
    }

    /// Ends the running layer if it is due, and starts the next.
    pub fn tick(&mut self, cycles: u64, memory: &mut Memory) -> Result<()> {
        if self.due() > cycles {
            return Ok(());
        }
        self.done_at = None;
        if let Some(pushed) = self.queue.pop_front() {
            self.compute(&pushed, memory)
                .with_context(|| format!("KPU layer {}, {}", self.layers, hex(&pushed.words)))?;
            self.layers += 1;
            if pushed.words[0] & 1 != 0 {
                self.raw |= CALC_DONE;
            }
            if self.queue.len() <= (self.threshold >> 4 & 0xF) as usize {
                self.raw |= ALMOST_EMPTY;
            }
            self.start(cycles);
        }
        Ok(())
    }

    fn compute(&mut self, pushed: &Pushed, memory: &mut Memory) -> Result<()> {
        let layer = Layer::decode(&pushed.words)?;
        let parameters = |what, address: u32, size| {
            let bytes = memory.get(address.into(), size).map(<[u8]>::to_vec);
            bytes.with_context(|| format!("{what}: {size} bytes at {address:#x} are not in RAM"))
        };
        let batch_norm = parameters("batch norm", layer.bn_addr, layer.batch_norm_bytes())?;
        let activation = parameters("activation", layer.act_addr, ACTIVATION_BYTES)?;
        let weights =
            parameters("weights", layer.weight_addr, layer.weights_bytes(pushed.eight_bit))?;
        let job = Job {
            layer,
            batch_norm: &batch_norm,
            activation: &activation,
            weights: &weights,
            eight_bit: pushed.eight_bit,
        };
        let mut simulator =
            Simulator::new(memory.split_mut().1, &mut self.scratch)?.rounding(self.rounding);
        simulator.run(&[job])?;
        if layer.send_out || self.trace.is_some() {
            let mut result = vec![0; layer.output.elements()];
            simulator.download(layer.dst_row, layer.output, &mut result)?;
            self.trace_layer(&layer, &pushed.words, &result);
            if layer.send_out {
                self.out.extend(&result);
                // The FIFO is 8 bytes wide.
                self.out.extend(std::iter::repeat_n(
                    0,
                    result.len().next_multiple_of(8) - result.len(),
                ));
            }
        }
        Ok(())
    }

    fn trace_layer(&mut self, layer: &Layer, words: &[u64; WORDS], result: &[u8]) {
        let Some(trace) = &mut self.trace else { return };
        let shape =
            |s: maix_kpu::tensor::ImageShape| format!("{}x{}x{}", s.channels, s.height, s.width);
        let _ = writeln!(
            trace,
            "kpu layer {}: {} {} -> {} kernel {} pool {}{} rows {} -> {} crc {:08x} words {}",
            self.layers,
            if layer.depthwise { "depthwise" } else { "conv" },
            shape(layer.input),
            shape(layer.output),
            layer.kernel.size(),
            layer.pool.name(),
            if layer.send_out { " to DMA" } else { "" },
            layer.src_row,
            layer.dst_row,
            CRC.checksum(result),
            hex(words),
        );
    }

    /// Takes the lines that the trace has gathered.
    pub fn take_trace(&mut self) -> Option<String> {
        self.trace.as_mut().filter(|t| !t.is_empty()).map(std::mem::take)
    }

    /// Bytes in the output FIFO.
    pub fn available(&self) -> usize {
        self.out.len()
    }

    /// Takes bytes out of the output FIFO; those that are not there read 0.
    pub fn take(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.out.pop_front().unwrap_or(0));
    }

    /// The interrupt line.
    pub fn interrupt(&self) -> bool {
        self.raw & !self.mask != 0
    }
}

fn hex(words: &[u64; WORDS]) -> String {
    words.map(|word| format!("{word:x}")).join(" ")
}
