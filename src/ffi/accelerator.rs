//! The one KPU: the chip's, or on a PC a simulated one; one owner at a time.

#[cfg(not(target_os = "none"))]
use crate::kpu::Rounding;
use crate::{error::Result, kpu::Accelerator};

pub(super) use platform::{lend, prepare, share, stop};

/// What is done with the KPU.
type Body<'b> = &'b mut dyn FnMut(&mut dyn Accelerator) -> Result<()>;

/// Says how the simulated KPU rounds from now on; unless told, as [`Rounding::default`] does.
#[cfg(not(target_os = "none"))]
pub fn set_rounding(rounding: Rounding) {
    platform::ROUNDING.set(rounding);
}

#[cfg(target_os = "none")]
mod platform {
    use super::Body;
    use crate::{error::Result, kpu::Hardware};

    /// Nothing is needed beforehand.
    pub fn prepare() -> Result<()> {
        Ok(())
    }

    /// Nothing is kept.
    pub fn stop() {}

    /// Makes the KPU see what was written to a model's bytes.
    pub fn share(bytes: &[u8]) -> Result<()> {
        lend(None, &mut [], &mut |kpu| {
            kpu.share(bytes);
            Ok(())
        })
    }

    /// Lends the KPU to `body`; an error while somebody else has it. `copies` is memory for
    /// parameters that the KPU cannot read where they are.
    #[inline(never)]
    pub fn lend(dma_channel: Option<u8>, copies: &mut [u8], body: Body<'_>) -> Result<()> {
        body(&mut Hardware::take(dma_channel, copies)?)
    }
}

#[cfg(not(target_os = "none"))]
mod platform {
    use super::{
        super::{errors::Global, memory::Block},
        Body,
    };
    use crate::{
        error::{Error, Kind, Result},
        kpu::{Rounding, Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    };
    use core::{
        mem::ManuallyDrop,
        sync::atomic::{AtomicBool, Ordering},
    };

    /// The simulator's memory: KPU RAM, then scratch.
    static MEMORY: Global<Option<*mut u8>> = Global::new(None);
    pub static ROUNDING: Global<Rounding> = Global::new(Rounding::HalfEven);
    const BYTES: usize = KPU_RAM_BYTES + SCRATCH_BYTES;

    /// Takes the memory of the simulator, which is kept.
    pub fn prepare() -> Result<()> {
        if MEMORY.get().is_none() {
            let mut memory = ManuallyDrop::new(Block::<u8>::new(BYTES)?);
            MEMORY.set(Some(memory.as_mut_ptr()));
        }
        Ok(())
    }

    /// Gives it back.
    pub fn stop() {
        if let Some(memory) = MEMORY.get() {
            MEMORY.set(None);
            // SAFETY: `prepare` took it, and nobody computes.
            unsafe { super::super::services::release(memory) }
        }
    }

    /// Everybody sees the same memory.
    pub fn share(_: &[u8]) -> Result<()> {
        Ok(())
    }

    static TAKEN: AtomicBool = AtomicBool::new(false);

    struct Turn;

    impl Turn {
        fn take() -> Result<Self> {
            match TAKEN.swap(true, Ordering::Acquire) {
                true => Err(Error::new(Kind::Busy)),
                false => Ok(Self),
            }
        }
    }

    impl Drop for Turn {
        fn drop(&mut self) {
            TAKEN.store(false, Ordering::Release);
        }
    }

    /// Lends the simulator to `body`; an error while somebody else has it.
    pub fn lend(_: Option<u8>, _: &mut [u8], body: Body<'_>) -> Result<()> {
        let _turn = Turn::take()?;
        let memory = MEMORY.get().ok_or(Error::new(Kind::NotStarted))?;
        // SAFETY: of that size since `prepare`, and it is our turn.
        let memory = unsafe { core::slice::from_raw_parts_mut(memory, BYTES) };
        let (ram, scratch) = memory.split_at_mut(KPU_RAM_BYTES);
        body(&mut Simulator::new(ram, scratch)?.rounding(ROUNDING.get()))
    }
}
