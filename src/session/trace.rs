//! Watching a model run, node by node.

use super::memory::Memory;
use crate::{
    crc::CRC,
    error::Result,
    kpu::{Accelerator, memory::line_ranges},
    model::{Model, Node, Place, Span, Tensor},
};

/// Is told of every node; an error from it ends the run.
pub trait Trace {
    /// Before a node runs.
    fn begin(&mut self, node: &Node) -> Result<()> {
        let _ = node;
        Ok(())
    }

    /// Whether anything is done at a node's end. If not, nodes are not waited for.
    fn watches_ends(&self) -> bool {
        true
    }

    /// After a node has run.
    fn end(&mut self, node: &Node, result: Written<'_>) -> Result<()> {
        let (_, _) = (node, result);
        Ok(())
    }
}

/// Watches nothing.
impl Trace for () {
    fn watches_ends(&self) -> bool {
        false
    }
}

/// What a node has written.
pub struct Written<'t> {
    pub(super) model: &'t Model,
    pub(super) node: &'t Node,
    pub(super) memory: &'t Memory<'t>,
    pub(super) accelerator: &'t mut dyn Accelerator,
}

impl Written<'_> {
    /// The tensor's place, type and shape.
    pub fn tensor(&self) -> Result<Tensor> {
        self.model.node_output(self.memory.source(), self.node)
    }

    /// Calls `each` with the tensor's bytes, piece by piece, in N, C, H, W order.
    #[inline(never)]
    pub fn pieces(&mut self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        let tensor = self.tensor()?;
        match tensor.place {
            Place::Main(offset) => each(self.memory.main(Span { offset, len: tensor.bytes() })?),
            Place::Kpu(row) => {
                let (ram, image) = (self.accelerator.ram(), tensor.image());
                for range in line_ranges(row, tensor.batches(), image) {
                    each(ram.get(range).unwrap_or(&[]));
                }
            }
            Place::Constants(_) => {}
        }
        Ok(())
    }

    /// CRC-32 (as in zip) of the tensor's bytes in N, C, H, W order.
    pub fn crc(&mut self) -> Result<u32> {
        let mut digest = CRC.digest();
        self.pieces(&mut |piece| digest.update(piece))?;
        Ok(digest.finalize())
    }
}
