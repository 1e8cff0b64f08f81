//! The K210's KPU, through k210-pac (docs/formats.md, KPU registers).
//!
//! RAM is seen at two addresses: through the CPU's cache, and past it. The KPU and the DMA controller
//! do not see the cache, so they and everything that the CPU does for them use the second.
#![allow(unsafe_code)]

use core::{
    arch::asm,
    hint::spin_loop,
    ptr, slice,
    sync::atomic::{AtomicBool, Ordering},
};

use k210_pac::{
    CLINT, DMAC, KPU, SYSCTL,
    generic::{Reg, ResetValue, Writable},
};

use crate::{
    error::{Error, Kind, Result, What},
    kpu::{
        driver::{Driver, Registers, TIME_LIMIT_MS},
        layer::Words,
        memory::KPU_RAM_BYTES,
    },
};

/// RAM through the cache.
const CACHED: usize = 0x8000_0000;
/// RAM past the cache.
const UNCACHED: usize = 0x4000_0000;
/// Bytes of RAM; KPU RAM follows.
const RAM_BYTES: usize = 0x60_0000;
/// The machine timer counts every 50th cycle of the CPU: this many times in a millisecond at 400 MHz.
const TIMER_TICKS_PER_MS: u64 = 8000;
/// Number of DMA channels.
const DMA_CHANNELS: u8 = 6;
/// All interrupts of the KPU: calculation done, queue almost empty, queue almost full.
const ALL_INTERRUPTS: u64 = 7;

/// The chip's KPU as an [`Accelerator`](crate::kpu::Accelerator).
///
/// Its clock comes from PLL1, which the firmware must have set up. The KPU raises no interrupt: the
/// driver asks it.
pub type Hardware<'s> = Driver<'s, K210>;

impl<'s> Hardware<'s> {
    /// Takes the KPU; dropping the result gives it back.
    ///
    /// `dma_channel` (0 to 5) copies images whose width is a multiple of 64 between KPU RAM and
    /// memory past the cache; `None` leaves that to the CPU. [`Driver::new`] says what `scratch` is.
    pub fn take(dma_channel: Option<u8>, scratch: &'s mut [u8]) -> Result<Self> {
        if let Some(channel) = dma_channel.filter(|&channel| channel >= DMA_CHANNELS) {
            return Err(Error::about(Kind::Parameter, What::DmaChannel, [channel.into(), 0]));
        }
        match TAKEN.swap(true, Ordering::Acquire) {
            true => Err(Error::new(Kind::Busy)),
            false => Ok(Self::new(K210 { dma_channel }, scratch)),
        }
    }
}

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The registers of the K210; there is one at a time.
pub struct K210 {
    dma_channel: Option<u8>,
}

impl Drop for K210 {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

impl Registers for K210 {
    fn reset(&mut self) {
        let sysctl = block(SYSCTL::ptr());
        sysctl.clk_en_peri.modify(|_, w| w.ai_clk_en().set_bit());
        sysctl.peri_reset.modify(|_, w| w.ai_reset().set_bit());
        // 10 microseconds or more.
        (0..8000).for_each(|_| spin_loop());
        sysctl.peri_reset.modify(|_, w| w.ai_reset().clear_bit());
        let kpu = block(KPU::ptr());
        write(&kpu.interrupt_mask, ALL_INTERRUPTS);
        write(&kpu.interrupt_clear, ALL_INTERRUPTS);
    }

    fn ram(&mut self) -> &mut [u8] {
        let ram = ptr::with_exposed_provenance_mut(UNCACHED + RAM_BYTES);
        // SAFETY: KPU RAM, which nothing but this driver uses; it is whole and any bytes will do.
        unsafe { slice::from_raw_parts_mut(ram, KPU_RAM_BYTES) }
    }

    fn set_eight_bit(&mut self, eight_bit: bool) {
        write(&block(KPU::ptr()).eight_bit_mode, eight_bit.into());
    }

    fn push(&mut self, words: &Words) {
        settle();
        for &word in words {
            write(&block(KPU::ptr()).layer_argument_fifo, word);
        }
    }

    fn take_done(&mut self) -> bool {
        let kpu = block(KPU::ptr());
        let done = kpu.interrupt_raw.read().calc_done().bit();
        if done {
            write(&kpu.interrupt_clear, ALL_INTERRUPTS);
            settle();
        }
        done
    }

    fn milliseconds(&self) -> u64 {
        block(CLINT::ptr()).mtime.read().bits() / TIMER_TICKS_PER_MS
    }

    fn address(&self, bytes: &[u8]) -> Option<u32> {
        past_cache(bytes).and_then(|address| address.try_into().ok())
    }

    fn share(&mut self, bytes: &[u8]) {
        if let Some(address) = past_cache(bytes).filter(|&a| a != bytes.as_ptr().addr()) {
            let past_cache = ptr::with_exposed_provenance_mut::<u8>(address);
            // SAFETY: the same RAM at its other address, given the bytes that it should hold; where
            // they are in the cache only, now they are in RAM too.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), past_cache, bytes.len()) };
        }
        settle();
    }

    fn copy_in(&mut self, offset: usize, bytes: &[u8]) -> Result<bool> {
        let memory = bytes.as_ptr().expose_provenance();
        self.copy(memory, memory, UNCACHED + RAM_BYTES + offset, bytes.len())
    }

    fn copy_out(&mut self, offset: usize, bytes: &mut [u8]) -> Result<bool> {
        let memory = bytes.as_mut_ptr().expose_provenance();
        self.copy(memory, UNCACHED + RAM_BYTES + offset, memory, bytes.len())
    }
}

impl K210 {
    /// Copies by DMA if `memory`, which is `from` or `to`, lies past the cache, all is in units of
    /// 8 bytes, and the channel is free.
    fn copy(&mut self, memory: usize, from: usize, to: usize, bytes: usize) -> Result<bool> {
        let Some(number) = self.dma_channel else { return Ok(false) };
        let dmac = block(DMAC::ptr());
        let Some(channel) = dmac.channel.get(usize::from(number)) else { return Ok(false) };
        let enabled = 1 << number;
        let change = 1 << (8 + number);
        let is_busy = || dmac.chen.read().bits() & enabled != 0;
        let past_cache = (UNCACHED..UNCACHED + RAM_BYTES).contains(&memory);
        if !past_cache || !(from | to | bytes).is_multiple_of(8) || bytes == 0 || is_busy() {
            return Ok(false);
        }

        block(SYSCTL::ptr()).clk_en_peri.modify(|_, w| w.dma_clk_en().set_bit());
        dmac.cfg.modify(|_, w| w.dmac_en().set_bit());
        // The channel's owner is not told of our transfer.
        let signals = channel.intsignal_en.read().bits();
        write(&channel.intsignal_en, 0);
        channel.cfg.modify(|_, w| {
            w.tt_fc().mem2mem_dma().hs_sel_src().software().hs_sel_dst().software();
            w.src_multblk_type().contiguous().dst_multblk_type().contiguous()
        });
        write(&channel.sar, from as u64);
        write(&channel.dar, to as u64);
        channel.ctl.modify(|_, w| {
            w.sms().axi_master_1().sinc().increment().src_tr_width().width_64();
            w.dms().axi_master_2().dinc().increment().dst_tr_width().width_64();
            w.src_msize().length_16().dst_msize().length_16()
        });
        write(&channel.block_ts, bytes as u64 / 8 - 1);
        settle();
        write(&dmac.chen, change | enabled);

        let begin = self.milliseconds();
        let mut in_time = true;
        while in_time && is_busy() {
            in_time = self.milliseconds().wrapping_sub(begin) <= TIME_LIMIT_MS;
        }
        if !in_time {
            write(&dmac.chen, change);
        }
        write(&channel.intclear, u32::MAX.into());
        write(&channel.intsignal_en, signals);
        settle();
        match in_time {
            true => Ok(true),
            false => Err(Error::about(Kind::Dma, What::Nothing, [number.into(), TIME_LIMIT_MS])),
        }
    }
}

/// The address past the cache of bytes in RAM.
fn past_cache(bytes: &[u8]) -> Option<usize> {
    let address = bytes.as_ptr().expose_provenance();
    [CACHED, UNCACHED].into_iter().find_map(|base| {
        let begin = address.checked_sub(base)?;
        (begin.checked_add(bytes.len())? <= RAM_BYTES).then_some(UNCACHED + begin)
    })
}

/// Everything written so far is in memory, and everything read from now on comes from there.
fn settle() {
    // SAFETY: orders accesses, for the compiler and for the CPU, and does nothing else.
    unsafe { asm!("fence iorw, iorw", options(nostack, preserves_flags)) };
}

fn block<T>(address: *const T) -> &'static T {
    // SAFETY: k210-pac's address of a peripheral: always there, and read and written as volatile
    // cells only.
    unsafe { &*address }
}

fn write<T>(register: &Reg<u64, T>, value: u64)
where
    Reg<u64, T>: Writable + ResetValue<Type = u64>,
{
    // SAFETY: k210-pac calls unsafe what it has no name for; each caller's value is one that the
    // register's description allows.
    register.write(|w| unsafe { w.bits(value) });
}
