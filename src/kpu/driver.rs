//! Runs layers on a KPU through its registers: what is pushed when, where parameters must lie, and
//! how long to wait (docs/formats.md, KPU registers).

use crate::{
    error::{Error, Kind, Result, What},
    kpu::{
        Accelerator, Job, Layer,
        layer::Words,
        memory::{self, ROW_BYTES},
    },
    tensor::{self, ImageShape},
};

/// Where the KPU wants batch norm arrays and weights: at multiples of this.
pub const PARAMETER_ALIGNMENT: usize = 128;
/// Where the KPU wants activation tables.
pub const ACTIVATION_ALIGNMENT: usize = 256;
/// Milliseconds after which a layer that has not finished is given up. The largest layers that KPU
/// RAM can hold take about 60.
pub const TIME_LIMIT_MS: u64 = 1000;

/// A KPU's registers and the memory around it.
pub trait Registers {
    /// Switches the KPU on with nothing queued and nothing done.
    fn reset(&mut self);

    /// KPU RAM, as the KPU sees it.
    fn ram(&mut self) -> &mut [u8];

    /// Says how wide the weights of the layers to come are. Nothing may be queued.
    fn set_eight_bit(&mut self, eight_bit: bool);

    /// Queues a layer.
    fn push(&mut self, words: &Words);

    /// Whether a layer with `int_en` has finished since the last call.
    fn take_done(&mut self) -> bool;

    /// Milliseconds since some moment.
    fn milliseconds(&self) -> u64;

    /// The address at which the KPU finds `bytes`; `None` if they lie where it cannot read.
    fn address(&self, bytes: &[u8]) -> Option<u32>;

    /// Makes the KPU see what was written to `bytes`.
    fn share(&mut self, bytes: &[u8]);

    /// Copies to KPU RAM by DMA; `false`, with nothing done, where that is not possible.
    fn copy_in(&mut self, offset: usize, bytes: &[u8]) -> Result<bool>;

    /// Copies from KPU RAM by DMA; `false`, with nothing done, where that is not possible.
    fn copy_out(&mut self, offset: usize, bytes: &mut [u8]) -> Result<bool>;
}

/// An [`Accelerator`] that has a KPU compute the layers.
///
/// Parameters are read where they lie if they are aligned in memory that the KPU can read, else
/// from a copy in `scratch`.
pub struct Driver<'s, R> {
    registers: R,
    scratch: &'s mut [u8],
    /// The first job that is not known to have finished, while there are such.
    unfinished: Option<usize>,
}

impl<'s, R: Registers> Driver<'s, R> {
    /// A driver that owns the KPU behind `registers`.
    ///
    /// `scratch` may be empty for models in RAM that begin at a multiple of
    /// [`ACTIVATION_ALIGNMENT`]; else it holds [`scratch_bytes`] of the largest layer.
    pub fn new(mut registers: R, scratch: &'s mut [u8]) -> Self {
        registers.reset();
        Self { registers, scratch, unfinished: None }
    }

    /// How many jobs from the first can be queued together: they agree in the width of the weights,
    /// and at most one, which then is alone, needs the scratch.
    fn chain(&self, jobs: &[Job<'_>]) -> usize {
        let together = |pair: &&[Job<'_>]| match pair {
            [a, b] => a.eight_bit == b.eight_bit && self.in_place(a) && self.in_place(b),
            _ => false,
        };
        1 + jobs.windows(2).take_while(together).count()
    }

    /// Queues the jobs of a chain, the first of which is job `begin`; they are
    /// [`unfinished`](Self::unfinished) then.
    ///
    /// Every other layer, counted from the last, says when it has finished. One that does so is
    /// pushed only after the one before has said so: no word is lost, and the KPU always has the
    /// next layer in its queue.
    fn run_chain(&mut self, jobs: &[Job<'_>], begin: usize) -> Result<()> {
        let mut finished = 0;
        for (index, job) in jobs.iter().enumerate() {
            let says_done = (jobs.len() - index) % 2 == 1;
            if says_done && index >= 2 {
                self.wait(begin + finished)?;
                finished = index - 1;
            }
            let words = self.words(job, says_done)?;
            self.registers.push(&words);
        }
        self.unfinished = Some(begin + finished);
        Ok(())
    }

    fn words(&mut self, job: &Job<'_>, says_done: bool) -> Result<Words> {
        let registers = &mut self.registers;
        let scratch = &mut &mut *self.scratch;
        let layer = Layer {
            bn_addr: place(registers, scratch, job.batch_norm, PARAMETER_ALIGNMENT)?,
            weight_addr: place(registers, scratch, job.weights, PARAMETER_ALIGNMENT)?,
            act_addr: place(registers, scratch, job.activation, ACTIVATION_ALIGNMENT)?,
            send_out: false,
            int_en: says_done,
            ..job.layer
        };
        Ok(layer.encode())
    }

    fn in_place(&self, job: &Job<'_>) -> bool {
        [
            (job.batch_norm, PARAMETER_ALIGNMENT),
            (job.weights, PARAMETER_ALIGNMENT),
            (job.activation, ACTIVATION_ALIGNMENT),
        ]
        .into_iter()
        .all(|(bytes, alignment)| aligned_address(&self.registers, bytes, alignment).is_some())
    }

    /// Waits for a layer to say that it has finished; resets a KPU that does not. `first` is the
    /// first job that is not known to have finished.
    fn wait(&mut self, first: usize) -> Result<()> {
        let begin = self.registers.milliseconds();
        while !self.registers.take_done() {
            if self.registers.milliseconds().wrapping_sub(begin) > TIME_LIMIT_MS {
                self.registers.reset();
                return Err(Error::about(
                    Kind::Accelerator,
                    What::Nothing,
                    [TIME_LIMIT_MS, first as u64],
                ));
            }
        }
        Ok(())
    }
}

impl<R: Registers> Accelerator for Driver<'_, R> {
    fn ram(&mut self) -> &mut [u8] {
        self.registers.ram()
    }

    fn share(&mut self, bytes: &[u8]) {
        self.registers.share(bytes);
    }

    fn upload(&mut self, row: usize, shape: ImageShape, pixels: &[u8]) -> Result<()> {
        let whole = is_one_block(row, shape, pixels.len());
        if whole && self.registers.copy_in(row * ROW_BYTES, pixels)? {
            return Ok(());
        }
        memory::upload(self.ram(), row, shape, pixels)
    }

    fn download(&mut self, row: usize, shape: ImageShape, pixels: &mut [u8]) -> Result<()> {
        let whole = is_one_block(row, shape, pixels.len());
        if whole && self.registers.copy_out(row * ROW_BYTES, pixels)? {
            return Ok(());
        }
        memory::download(self.ram(), row, shape, pixels)
    }

    fn run(&mut self, jobs: &[Job<'_>]) -> Result<()> {
        self.start(jobs)?;
        self.finish()
    }

    fn start(&mut self, jobs: &[Job<'_>]) -> Result<()> {
        for job in jobs {
            job.check()?;
        }
        let mut rest = jobs;
        while let Some(first) = rest.first() {
            let (chain, after) = rest.split_at_checked(self.chain(rest)).unwrap_or((rest, &[]));
            self.finish()?;
            self.registers.set_eight_bit(first.eight_bit);
            self.run_chain(chain, jobs.len() - rest.len())?;
            rest = after;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.unfinished.take().map_or(Ok(()), |first| self.wait(first))
    }
}

/// Bytes of scratch that a job takes whose parameters lie anywhere.
pub const fn scratch_bytes(job: &Job<'_>) -> usize {
    let parameters = job.batch_norm.len() + job.weights.len() + job.activation.len();
    parameters + 2 * PARAMETER_ALIGNMENT + ACTIVATION_ALIGNMENT
}

/// Whether KPU RAM holds an image in the order of its `bytes` bytes, without gaps.
fn is_one_block(row: usize, shape: ImageShape, bytes: usize) -> bool {
    shape.width.is_multiple_of(ROW_BYTES)
        && bytes > 0
        && bytes == shape.elements()
        && memory::check_range(What::Image, row, shape).is_ok()
}

fn aligned_address(registers: &impl Registers, bytes: &[u8], alignment: usize) -> Option<u32> {
    registers.address(bytes).filter(|&address| address as usize & (alignment - 1) == 0)
}

/// The address of `bytes`, a multiple of `alignment` (a power of two), or, if the KPU cannot read them there, of a copy at the begin of
/// `scratch`, which is left with the rest.
fn place(
    registers: &mut impl Registers,
    scratch: &mut &mut [u8],
    bytes: &[u8],
    alignment: usize,
) -> Result<u32> {
    if let Some(address) = aligned_address(registers, bytes, alignment) {
        return Ok(address);
    }
    let space = core::mem::take(scratch);
    let skip = space.as_ptr().addr().wrapping_neg() & (alignment - 1);
    let wanted = [skip.saturating_add(bytes.len()) as u64, space.len() as u64];
    let missing = || Error::about(Kind::NoMemory, What::KpuCopyOfParameters, wanted);
    let (copy, rest) = space
        .get_mut(skip..)
        .and_then(|space| space.split_at_mut_checked(bytes.len()))
        .ok_or_else(missing)?;
    *scratch = rest;
    tensor::copy(bytes, copy);
    registers.share(copy);
    aligned_address(registers, copy, alignment).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kpu::{
        ACTIVATION_BYTES, Kernel, Pool, Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES,
    };
    use std::{cell::RefCell, collections::HashMap, collections::VecDeque, rc::Rc};

    /// A KPU that computes one queued layer each time it is asked whether it is done.
    #[derive(Default)]
    struct Board {
        ram: Vec<u8>,
        scratch: Vec<u8>,
        /// What lies at the addresses that were given out.
        memory: RefCell<HashMap<u32, Vec<u8>>>,
        queue: VecDeque<Layer>,
        eight_bit: bool,
        done: bool,
        clock: RefCell<u64>,
        log: Rc<RefCell<Log>>,
    }

    /// What a test wants of a board and learns from it.
    #[derive(Default)]
    struct Log {
        /// Layers to compute before the KPU stops for good.
        stuck_after: Option<usize>,
        /// Where the KPU cannot read.
        unreachable: Vec<*const u8>,
        dma: bool,
        computed: usize,
        longest_queue: usize,
        resets: usize,
        copies: usize,
    }

    impl Board {
        fn new() -> (Self, Rc<RefCell<Log>>) {
            let ram = vec![0; KPU_RAM_BYTES];
            let board = Self { ram, scratch: vec![0; SCRATCH_BYTES], ..Self::default() };
            let log = board.log.clone();
            (board, log)
        }

        fn bytes(&self, address: u32) -> Vec<u8> {
            self.memory.borrow().get(&address).expect("an address that was given out").clone()
        }
    }

    impl Registers for Board {
        fn reset(&mut self) {
            self.queue.clear();
            self.done = false;
            self.log.borrow_mut().resets += 1;
        }

        fn ram(&mut self) -> &mut [u8] {
            &mut self.ram
        }

        fn set_eight_bit(&mut self, eight_bit: bool) {
            assert!(self.queue.is_empty());
            self.eight_bit = eight_bit;
        }

        fn push(&mut self, words: &Words) {
            let layer = Layer::decode(words).unwrap();
            assert!(!layer.send_out);
            let would_be_lost = self.done || self.queue.iter().any(|queued| queued.int_en);
            assert!(!(layer.int_en && would_be_lost));
            self.queue.push_back(layer);
            let mut log = self.log.borrow_mut();
            log.longest_queue = log.longest_queue.max(self.queue.len());
        }

        fn take_done(&mut self) -> bool {
            let mut log = self.log.borrow_mut();
            if log.stuck_after != Some(log.computed)
                && let Some(layer) = self.queue.pop_front()
            {
                let (batch_norm, weights, activation) = (
                    self.bytes(layer.bn_addr),
                    self.bytes(layer.weight_addr),
                    self.bytes(layer.act_addr),
                );
                let job = Job {
                    layer,
                    batch_norm: &batch_norm,
                    activation: &activation,
                    weights: &weights,
                    eight_bit: self.eight_bit,
                };
                let mut simulator = Simulator::new(&mut self.ram, &mut self.scratch).unwrap();
                simulator.run(&[job]).unwrap();
                self.done |= layer.int_en;
                log.computed += 1;
            }
            std::mem::take(&mut self.done)
        }

        fn milliseconds(&self) -> u64 {
            self.clock.replace_with(|ms| *ms + 7)
        }

        fn address(&self, bytes: &[u8]) -> Option<u32> {
            if self.log.borrow().unreachable.contains(&bytes.as_ptr()) {
                return None;
            }
            let address = bytes.as_ptr().addr() as u32;
            self.memory.borrow_mut().insert(address, bytes.to_vec());
            Some(address)
        }

        fn share(&mut self, _: &[u8]) {}

        fn copy_in(&mut self, offset: usize, bytes: &[u8]) -> Result<bool> {
            let mut log = self.log.borrow_mut();
            if log.dma {
                self.ram[offset..][..bytes.len()].copy_from_slice(bytes);
                log.copies += 1;
            }
            Ok(log.dma)
        }

        fn copy_out(&mut self, offset: usize, bytes: &mut [u8]) -> Result<bool> {
            let mut log = self.log.borrow_mut();
            if log.dma {
                bytes.copy_from_slice(&self.ram[offset..][..bytes.len()]);
                log.copies += 1;
            }
            Ok(log.dma)
        }
    }

    /// Bytes that begin at a multiple of 256, or `skip` behind one.
    struct Aligned {
        bytes: Vec<u8>,
        begin: usize,
    }

    impl Aligned {
        fn new(length: usize, seed: u32, skip: usize) -> Self {
            let mut state = seed | 1;
            let bytes: Vec<u8> = (0..length + 512 + skip)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            let begin = bytes.as_ptr().align_offset(ACTIVATION_ALIGNMENT) + skip;
            Self { bytes, begin }
        }

        fn get(&self, length: usize) -> &[u8] {
            &self.bytes[self.begin..][..length]
        }
    }

    const INPUT: ImageShape = ImageShape::new(3, 6, 64);

    /// A chain of layers, each of which reads what the one before has written, and its parameters.
    struct Chain {
        layers: Vec<(Layer, bool)>,
        parameters: Vec<[Aligned; 3]>,
    }

    impl Chain {
        fn new(eight_bit: &[bool], skip: usize) -> Self {
            let mut input = INPUT;
            let mut row = 0;
            let mut layers = Vec::new();
            let mut parameters = Vec::new();
            for (index, &eight_bit) in eight_bit.iter().enumerate() {
                let kernel = [Kernel::K3x3, Kernel::K1x1][index % 2];
                let mut layer =
                    Layer::new(input, 5 + index, kernel, false, Pool::None, eight_bit).unwrap();
                layer.src_row = row;
                row += memory::rows(input);
                layer.dst_row = row;
                input = layer.output;
                let seed = index as u32 * 3;
                parameters.push([
                    Aligned::new(layer.batch_norm_bytes(), seed + 1, skip),
                    Aligned::new(layer.weights_bytes(eight_bit), seed + 2, skip),
                    Aligned::new(ACTIVATION_BYTES, seed + 3, skip),
                ]);
                layers.push((layer, eight_bit));
            }
            Self { layers, parameters }
        }

        fn jobs(&self) -> Vec<Job<'_>> {
            let parameters = self.parameters.iter();
            self.layers
                .iter()
                .zip(parameters)
                .map(|(&(layer, eight_bit), [batch_norm, weights, activation])| Job {
                    layer,
                    batch_norm: batch_norm.get(layer.batch_norm_bytes()),
                    activation: activation.get(ACTIVATION_BYTES),
                    weights: weights.get(layer.weights_bytes(eight_bit)),
                    eight_bit,
                })
                .collect()
        }

        /// KPU RAM after the simulator has run the chain.
        fn expected(&self) -> Vec<u8> {
            let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
            let mut simulator = Simulator::new(&mut ram, &mut scratch).unwrap();
            simulator.upload(0, INPUT, &pixels()).unwrap();
            simulator.run(&self.jobs()).unwrap();
            ram
        }

        fn scratch(&self) -> usize {
            self.jobs().iter().map(scratch_bytes).max().unwrap()
        }
    }

    fn pixels() -> Vec<u8> {
        (0..INPUT.elements()).map(|i| (i * 31) as u8).collect()
    }

    #[test]
    fn chains_give_what_the_simulator_gives() {
        for length in 1..=6 {
            let chain = Chain::new(&vec![true; length], 0);
            let (board, log) = Board::new();
            let mut driver = Driver::new(board, &mut []);
            driver.upload(0, INPUT, &pixels()).unwrap();
            driver.run(&chain.jobs()).unwrap();
            assert!(driver.ram() == chain.expected(), "{length}");
            assert_eq!(log.borrow().computed, length);
            let longest = log.borrow().longest_queue;
            assert!((length.min(2)..=3).contains(&longest), "{length}: {longest}");
        }
    }

    #[test]
    fn a_started_layer_is_computed_when_it_is_finished() {
        let chain = Chain::new(&[true, true], 0);
        let (board, log) = Board::new();
        let mut driver = Driver::new(board, &mut []);
        driver.upload(0, INPUT, &pixels()).unwrap();
        for (index, job) in chain.jobs().into_iter().enumerate() {
            driver.start(&[job]).unwrap();
            assert_eq!(log.borrow().computed, index);
        }
        driver.finish().unwrap();
        assert!(driver.ram() == chain.expected());

        log.borrow_mut().stuck_after = Some(2);
        driver.start(&chain.jobs()[..1]).unwrap();
        assert_eq!(driver.finish().unwrap_err().kind(), Kind::Accelerator);
        driver.finish().unwrap();
    }

    #[test]
    fn widths_of_weights_do_not_mix_in_the_queue() {
        let chain = Chain::new(&[true, false, false, false, true], 0);
        let (board, _) = Board::new();
        let mut driver = Driver::new(board, &mut []);
        driver.upload(0, INPUT, &pixels()).unwrap();
        driver.run(&chain.jobs()).unwrap();
        assert!(driver.ram() == chain.expected());
    }

    #[test]
    fn misaligned_or_unreachable_parameters_are_copied() {
        for skip in [0, 1, 64, 128] {
            let chain = Chain::new(&[true, true, true], skip);
            let (board, log) = Board::new();
            if skip == 0 {
                log.borrow_mut().unreachable.push(chain.jobs()[1].weights.as_ptr());
            }
            let mut scratch = vec![0; chain.scratch()];
            let mut driver = Driver::new(board, &mut scratch);
            driver.upload(0, INPUT, &pixels()).unwrap();
            driver.run(&chain.jobs()).unwrap();
            assert!(driver.ram() == chain.expected(), "{skip}");

            let (board, log) = Board::new();
            let mut scratch = vec![0; 20];
            let mut driver = Driver::new(board, &mut scratch);
            log.borrow_mut().unreachable.push(chain.jobs()[1].weights.as_ptr());
            let error = driver.run(&chain.jobs()[1..]).unwrap_err();
            assert_eq!((error.kind(), error.node()), (Kind::NoMemory, None));
            assert_eq!(log.borrow().longest_queue, 0);
        }
    }

    #[test]
    fn a_stuck_layer_is_an_error_and_the_next_run_works() {
        for stuck in 0..5 {
            let chain = Chain::new(&[true; 5], 0);
            let (board, log) = Board::new();
            let mut driver = Driver::new(board, &mut []);
            log.borrow_mut().stuck_after = Some(stuck);
            let error = driver.run(&chain.jobs()).unwrap_err();
            assert_eq!((error.kind(), error.values()[0]), (Kind::Accelerator, TIME_LIMIT_MS));
            // The layer that hangs, or the one before, which had not said that it was done.
            let node = error.values()[1] as usize;
            assert!(node == stuck || node + 1 == stuck, "{stuck}: {node}");

            assert_eq!(log.borrow().resets, 2);
            log.borrow_mut().stuck_after = None;
            driver.ram().fill(0);
            driver.upload(0, INPUT, &pixels()).unwrap();
            driver.run(&chain.jobs()).unwrap();
            assert!(driver.ram() == chain.expected(), "{stuck}");
        }
    }

    #[test]
    fn jobs_are_checked_before_any_is_queued() {
        let chain = Chain::new(&[true, true], 0);
        let (board, log) = Board::new();
        let mut jobs = chain.jobs();
        jobs[1].weights = &jobs[1].weights[1..];
        let error = Driver::new(board, &mut []).run(&jobs).unwrap_err();
        assert_eq!((error.kind(), error.node()), (Kind::SizeMismatch, None));
        assert_eq!(log.borrow().longest_queue, 0);
    }

    #[test]
    fn dma_copies_images_without_gaps_only() {
        let (board, log) = Board::new();
        let mut driver = Driver::new(board, &mut []);
        log.borrow_mut().dma = true;
        for (width, copies) in [(64, 2), (63, 0), (128, 2)] {
            log.borrow_mut().copies = 0;
            let shape = ImageShape::new(2, 3, width);
            let pixels: Vec<u8> = (0..shape.elements()).map(|i| i as u8).collect();
            let mut back = vec![0; pixels.len()];
            driver.upload(7, shape, &pixels).unwrap();
            driver.download(7, shape, &mut back).unwrap();
            assert_eq!(pixels, back);
            assert_eq!(log.borrow().copies, copies, "{width}");
        }
        let shape = ImageShape::new(1, 1, 64);
        assert_eq!(driver.upload(32768, shape, &[0; 64]).unwrap_err().kind(), Kind::KpuRam);
        assert_eq!(driver.upload(0, shape, &[0; 65]).unwrap_err().kind(), Kind::SizeMismatch);
    }
}
