//! The KPU on a PC: the same bits as the chip's, in memory that the caller lends.

use crate::{
    error::{Error, Kind, Result},
    kpu::{
        Accelerator, Job,
        arithmetic::{Activation, Rounding},
        memory::KPU_RAM_BYTES,
        reference,
    },
};

/// Bytes of scratch memory that a [`Simulator`] needs.
pub const SCRATCH_BYTES: usize = 3 * KPU_RAM_BYTES;

/// An [`Accelerator`] that computes each layer on the CPU.
///
/// Layers read their whole input before they write, so input and output may overlap.
pub struct Simulator<'a> {
    ram: &'a mut [u8],
    scratch: &'a mut [u8],
    rounding: Rounding,
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
        enough("the simulator's KPU RAM", ram.len(), KPU_RAM_BYTES)?;
        enough("the simulator's scratch", scratch.len(), SCRATCH_BYTES)?;
        Ok(Self { ram, scratch, rounding: Rounding::default() })
    }

    /// The same simulator, which rounds in the given way.
    pub fn rounding(mut self, rounding: Rounding) -> Self {
        self.rounding = rounding;
        self
    }
}

impl Accelerator for Simulator<'_> {
    fn ram(&mut self) -> &mut [u8] {
        self.ram
    }

    fn run(&mut self, jobs: &[Job<'_>]) -> Result<()> {
        for job in jobs {
            let activation = Activation::decode(job.check()?);
            reference::run(self.ram, self.scratch, job, &activation, self.rounding)?;
        }
        Ok(())
    }
}
