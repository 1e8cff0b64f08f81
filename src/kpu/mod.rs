//! The KPU: its layers, its memory, its arithmetic, and who computes them.

pub mod arithmetic;
pub mod driver;
mod fast;
#[cfg(target_os = "none")]
pub mod hardware;
pub mod layer;
pub mod memory;
mod reference;
pub mod simulator;

use crate::{
    error::{Error, Kind, Result, What},
    tensor::ImageShape,
};

pub use crate::level::Level;
pub use arithmetic::{Activation, BatchNorm, Rounding};
#[cfg(target_os = "none")]
pub use hardware::Hardware;
pub use layer::{ACTIVATION_BYTES, Kernel, Layer, Pool};
pub use simulator::Simulator;

/// What computes KPU layers: the chip's KPU or the simulator.
///
/// A call but [`start`](Self::start) returns when its work is done; several jobs in one call let
/// hardware queue them.
pub trait Accelerator {
    /// KPU RAM, once every layer is done.
    fn ram(&mut self) -> &mut [u8];

    /// Makes the accelerator see what was written to `bytes`, parameters of jobs to come.
    fn share(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// Scatters contiguous C, H, W bytes into KPU RAM, beginning at `row` (64-byte rows).
    fn upload(&mut self, row: usize, shape: ImageShape, pixels: &[u8]) -> Result<()> {
        memory::upload(self.ram(), row, shape, pixels)
    }

    /// Gathers an image from KPU RAM into contiguous C, H, W bytes.
    fn download(&mut self, row: usize, shape: ImageShape, pixels: &mut [u8]) -> Result<()> {
        memory::download(self.ram(), row, shape, pixels)
    }

    /// Runs the layers one after the other; results are left in KPU RAM. Errors name no
    /// node, for only the caller knows it; that of a job that does not finish
    /// ([`Kind::Accelerator`]) has as its second value the first job not known to have finished.
    fn run(&mut self, jobs: &[Job<'_>]) -> Result<()>;

    /// As [`run`](Self::run), but the last layers may still be computed when this returns. Until
    /// [`finish`](Self::finish) their parameters stay as they are, and nothing else is called but
    /// this.
    fn start(&mut self, jobs: &[Job<'_>]) -> Result<()> {
        self.run(jobs)
    }

    /// Waits for the layers that were started; errors as those of [`run`](Self::run).
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// One layer with its parameters.
#[derive(Clone, Copy)]
pub struct Job<'p> {
    /// The layer.
    pub layer: Layer,
    /// `out_ch` x u64, little-endian.
    pub batch_norm: &'p [u8],
    /// 144 bytes: 16 segments and their biases.
    pub activation: &'p [u8],
    /// `[out_ch][in_ch][ky][kx]`, one byte (16-bit mode: two) a weight.
    pub weights: &'p [u8],
    /// Weights are 8 bits wide, not 16.
    pub eight_bit: bool,
}

impl<'p> Job<'p> {
    /// An error if the layer contradicts itself or a parameter has another size than it wants;
    /// else the bytes of the activation table.
    pub fn check(&self) -> Result<&'p [u8; ACTIVATION_BYTES]> {
        let layer = &self.layer;
        layer.check()?;
        let load = layer.weights_bytes(self.eight_bit) / layer.output.channels.max(1);
        if layer.para_size != layer.out_ch_per_load * load {
            return Err(Error::about(Kind::Field, What::ParaSize, [layer.para_size as u64, 0]));
        }
        let mismatch = |what, bytes: usize, wanted: usize| {
            Error::about(Kind::SizeMismatch, what, [bytes as u64, wanted as u64])
        };
        for (what, bytes, wanted) in [
            (What::BatchNorm, self.batch_norm.len(), layer.batch_norm_bytes()),
            (What::Weights, self.weights.len(), layer.weights_bytes(self.eight_bit)),
        ] {
            if bytes != wanted {
                return Err(mismatch(what, bytes, wanted));
            }
        }
        let activation = self.activation;
        activation
            .try_into()
            .map_err(|_| mismatch(What::ActivationTable, activation.len(), ACTIVATION_BYTES))
    }
}
