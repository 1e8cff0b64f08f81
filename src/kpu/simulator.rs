//! The KPU on a PC: the same bits as the chip's, in memory that the caller lends.

use crate::{
    error::{Error, Kind, Result, What},
    kpu::{Accelerator, Activation, Job, Level, Rounding, fast, memory::KPU_RAM_BYTES, reference},
};

/// Bytes of scratch memory that a [`Simulator`] needs.
pub const SCRATCH_BYTES: usize = fast::SCRATCH_BYTES;

/// An [`Accelerator`] that computes each layer on the CPU.
///
/// Layers read their whole input before they write, so input and output may overlap.
pub struct Simulator<'a> {
    ram: &'a mut [u8],
    scratch: &'a mut [u8],
    rounding: Rounding,
    engine: Engine,
}

#[derive(Clone, Copy)]
enum Engine {
    Reference,
    Fast(Level),
}

impl<'a> Simulator<'a> {
    /// A simulator over `ram`, of [`KPU_RAM_BYTES`], and `scratch`, of [`SCRATCH_BYTES`].
    ///
    /// What `ram` holds stays; what `scratch` holds is lost.
    pub fn new(ram: &'a mut [u8], scratch: &'a mut [u8]) -> Result<Self> {
        let enough = |what, bytes: usize, wanted: usize| match bytes >= wanted {
            true => Ok(()),
            false => Err(Error::about(Kind::NoMemory, what, [wanted as u64, bytes as u64])),
        };
        enough(What::SimulatorsKpuRam, ram.len(), KPU_RAM_BYTES)?;
        enough(What::SimulatorsScratch, scratch.len(), SCRATCH_BYTES)?;
        Ok(Self {
            ram,
            scratch,
            rounding: Rounding::default(),
            engine: Engine::Fast(Level::best()),
        })
    }

    /// The same simulator, which computes in the plain and slow way.
    pub fn reference(mut self) -> Self {
        self.engine = Engine::Reference;
        self
    }

    /// The same simulator, which uses the given instructions instead of the CPU's fastest.
    pub fn level(mut self, level: Level) -> Self {
        self.engine = Engine::Fast(level);
        self
    }

    /// The same simulator, which rounds in the given way.
    pub fn rounding(mut self, rounding: Rounding) -> Self {
        self.rounding = rounding;
        self
    }

    fn run_one(&mut self, job: &Job<'_>) -> Result<()> {
        let activation = Activation::decode(job.check()?);
        let (ram, scratch, rounding) = (&mut *self.ram, &mut *self.scratch, self.rounding);
        match self.engine {
            Engine::Reference => reference::run(ram, scratch, job, &activation, rounding),
            Engine::Fast(level) => fast::run(ram, scratch, job, &activation, rounding, level),
        }
    }
}

impl Accelerator for Simulator<'_> {
    fn ram(&mut self) -> &mut [u8] {
        self.ram
    }

    fn run(&mut self, jobs: &[Job<'_>]) -> Result<()> {
        jobs.iter().try_for_each(|job| self.run_one(job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kpu::{BatchNorm, Kernel, Layer, Pool, arithmetic::Segment, memory},
        tensor::ImageShape,
    };
    use proptest::{prelude::*, test_runner::TestRunner};
    use std::cell::RefCell;

    /// Numbers that a seed decides (xorshift).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, limit: u64) -> u64 {
            self.next() % limit
        }

        /// A signed number of so many bits, or fewer.
        fn signed(&mut self, bits: u64) -> i64 {
            self.next() as i64 >> (64 - 1 - self.below(bits))
        }

        fn bytes(&mut self, count: usize) -> Vec<u8> {
            (0..count).map(|_| self.next() as u8).collect()
        }
    }

    struct Case {
        layer: Layer,
        eight_bit: bool,
        batch_norm: Vec<u8>,
        activation: [u8; 144],
        weights: Vec<u8>,
    }

    impl Case {
        fn job(&self) -> Job<'_> {
            Job {
                layer: self.layer,
                batch_norm: &self.batch_norm,
                activation: &self.activation,
                weights: &self.weights,
                eight_bit: self.eight_bit,
            }
        }
    }

    /// A table as compilers make them: a flat piece, a slope, steps to the top.
    fn usual_activation(random: &mut Random) -> Activation {
        let mut activation = Activation::default();
        let mut start = -(random.below(1 << 22) as i64);
        let slope = 1 << random.below(11);
        let shifts = random.below(3);
        for (index, segment) in activation.segments.iter_mut().enumerate() {
            let less = random.below(shifts + 1);
            let mul = if index == 0 || random.below(16) == 0 { 0 } else { slope >> less };
            *segment = Segment { start, mul, shift: 20 - less as u8, bias: 0 };
            if index == 0 {
                segment.start = -1 << 35;
            } else if index > 1 {
                segment.bias = 239 + index as u8;
            }
            start += (1 << 20) / i64::from(slope) * if index == 1 { 240 } else { 1 };
        }
        activation
    }

    /// Anything at all.
    fn hostile_activation(random: &mut Random) -> Activation {
        let mut activation = Activation::default();
        for segment in &mut activation.segments {
            *segment = Segment {
                start: random.signed(36),
                mul: random.signed(16) as i16,
                shift: if random.below(8) == 0 { random.next() } else { random.below(24) } as u8,
                bias: random.next() as u8,
            };
        }
        activation
    }

    fn case(shape: [usize; 4], choice: [usize; 3], seed: u64) -> Option<Case> {
        let mut random = Random(seed | 1);
        let [in_ch, height, width, out_ch] = shape;
        let [kind, pool, table] = choice;
        let (depthwise, eight_bit) = (kind & 1 != 0, kind & 2 == 0);
        let kernel = if kind & 4 == 0 { Kernel::K1x1 } else { Kernel::K3x3 };
        let out_ch = if depthwise { in_ch } else { out_ch };
        let input = ImageShape::new(in_ch, height, width);
        let layer =
            Layer::new(input, out_ch, kernel, depthwise, Pool::ALL[pool], eight_bit).ok()?;
        let usual = table == 0;
        let weights = random.bytes(layer.weights_bytes(eight_bit));
        let zero = random.below(256) as i32;
        let shr_x = random.below(16) as u32;
        let layer = Layer {
            src_row: random.below(100) as usize,
            dst_row: random.below(100) as usize,
            pad_value: random.next() as u8,
            shr_x,
            arg_x: if usual { -zero << shr_x } else { random.signed(24) as i32 },
            shr_w: random.below(16) as u32,
            arg_w: if usual { -random.signed(8) as i32 } else { random.signed(24) as i32 },
            arg_add: random.signed(if usual { 16 } else { 40 }),
            ..layer
        };
        let norm = |random: &mut Random| match usual {
            true => BatchNorm {
                mul: random.below(1 << 21) as i32,
                shift: 15,
                add: random.signed(20) as i32,
            },
            false => BatchNorm {
                mul: random.signed(24) as i32,
                shift: random.below(16) as u32,
                add: random.signed(32) as i32,
            },
        };
        let batch_norm = (0..out_ch).flat_map(|_| norm(&mut random).encode()).collect();
        let activation = if usual { usual_activation } else { hostile_activation };
        let activation = activation(&mut random).encode();
        Some(Case { layer, eight_bit, batch_norm, activation, weights })
    }

    /// Memory that the runs of one test share, so that what the last one left must not matter.
    struct Memory {
        ram: Vec<u8>,
        scratch: Vec<u8>,
    }

    impl Memory {
        fn new() -> Self {
            Self { ram: vec![0xA5; KPU_RAM_BYTES], scratch: vec![0; SCRATCH_BYTES] }
        }

        /// The rows that the layer could touch, after it ran over random bytes.
        fn after(&mut self, case: &Case, set: impl Fn(Simulator) -> Simulator) -> Vec<u8> {
            let layer = &case.layer;
            let ends = [(layer.src_row, layer.input), (layer.dst_row, layer.output)];
            let rows = ends.iter().map(|&(row, shape)| row + memory::rows(shape)).max();
            let used = rows.unwrap() * memory::ROW_BYTES;
            self.ram[..used].copy_from_slice(&Random(3).bytes(used));
            let simulator = Simulator::new(&mut self.ram, &mut self.scratch).unwrap();
            set(simulator).run(&[case.job()]).unwrap();
            self.ram[..used].to_vec()
        }
    }

    fn same_at_all_levels(case: &Case, memory: &mut Memory) {
        for rounding in [Rounding::HalfEven, Rounding::HalfUp] {
            let expected = memory.after(case, |s| s.reference().rounding(rounding));
            for level in Level::all() {
                let ram = memory.after(case, |s| s.level(level).rounding(rounding));
                let differs = ram.iter().zip(&expected).position(|(a, b)| a != b);
                assert_eq!(differs, None, "{} {:?}", level.name(), case.layer);
            }
        }
        assert!(memory.ram.ends_with(&[0xA5; 64]));
    }

    #[test]
    fn fast_is_plain_at_every_level() {
        let memory = RefCell::new(Memory::new());
        let mut runner = TestRunner::new(ProptestConfig::with_cases(300));
        let shapes = [1usize..20, 1usize..14, 1usize..70, 1usize..20];
        let choices = [0usize..8, 0usize..10, 0usize..2];
        runner
            .run(&(shapes, choices, any::<u64>()), |(shape, choice, seed)| {
                if let Some(case) = case(shape, choice, seed) {
                    same_at_all_levels(&case, &mut memory.borrow_mut());
                }
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn largest_layers_fit_in_the_scratch() {
        let mut memory = Memory::new();
        for (shape, kind, pool) in [
            ([4, 512, 960, 1], 4, 0),
            ([1, 512, 960, 8], 4, 7),
            ([5, 512, 640, 4], 6, 1),
            ([5, 512, 640, 5], 7, 0),
            ([1024, 1, 1, 192], 4, 0),
            ([1024, 4, 63, 30], 6, 0),
            ([1024, 128, 16, 1024], 5, 5),
        ] {
            let mut case = case(shape, [kind, pool, 0], 1).unwrap_or_else(|| panic!("{shape:?}"));
            (case.layer.src_row, case.layer.dst_row) = (0, 0);
            memory.after(&case, |s| s);
        }
    }

    #[test]
    fn every_width_is_packed_right() {
        let mut memory = Memory::new();
        for width in (1..=70).chain([127, 128, 129, 255, 256, 257, 320, 511, 512, 959, 960]) {
            for kind in [4, 5] {
                let pool = width % 10;
                if let Some(case) = case([2, 6, width, 3], [kind, pool, 0], width as u64) {
                    same_at_all_levels(&case, &mut memory);
                }
            }
        }
    }

    #[test]
    fn wrong_jobs_are_errors() {
        let case = case([3, 4, 5, 2], [0, 0, 0], 7).unwrap();
        let mut ram = vec![0; KPU_RAM_BYTES];
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut simulator = Simulator::new(&mut ram, &mut scratch).unwrap();
        let job = case.job();
        let mut what = |job| {
            let error = simulator.run(&[job]).unwrap_err();
            (error.kind(), error.what(), error.values()[0])
        };
        let size = Kind::SizeMismatch;
        assert_eq!(what(Job { weights: &[0; 5], ..job }), (size, "the weights", 5));
        assert_eq!(what(Job { batch_norm: &[0; 8], ..job }), (size, "the batch norm", 8));
        assert_eq!(what(Job { activation: &[0; 9], ..job }), (size, "the activation table", 9));
        assert_eq!(what(Job { eight_bit: false, ..job }), (Kind::Field, "para_size", 6));
        let mut outside = job;
        outside.layer.src_row = usize::MAX;
        assert_eq!(what(outside).0, Kind::KpuRam);
        let mut short = vec![0; KPU_RAM_BYTES - 1];
        let error = Simulator::new(&mut short, &mut scratch).err().unwrap();
        assert_eq!(error.kind(), Kind::NoMemory);
    }
}
