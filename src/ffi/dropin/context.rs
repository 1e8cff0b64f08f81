//! Loaded models. The firmware holds untyped pointers to them, so each is looked up before use: one
//! that was freed is an error, not a crash.

use super::super::{
    accelerator,
    errors::Global,
    forward::run,
    header::maix_kpu_model_t,
    memory::{Block, Owned},
    model::{Opened, Use, close, open_reader, use_model},
    slice_of,
    source::Reader,
};
use crate::{
    error::{Error, Kind, Result, What},
    input::Input,
    kpu::layer::Words,
    model::Place,
};
use core::ptr::null_mut;
use cty::c_void;

/// The model loaded last; each knows the one before.
static LAST: Global<*mut Context> = Global::new(null_mut());

/// A loaded model.
pub(super) struct Context {
    before: *mut Context,
    model: *mut maix_kpu_model_t,
    /// Output 0, where it does not lie in main memory.
    copy: Block<u8>,
    /// The KPU layer that the firmware looks at.
    pub(super) words: Words,
}

impl Context {
    /// Loads a model from a reader.
    pub(super) fn load(reader: Reader, stream: bool) -> Result<*mut Self> {
        Self::enter(open_reader(reader, stream)?)
    }

    /// Keeps an opened model, or closes it.
    pub(super) fn enter(model: *mut maix_kpu_model_t) -> Result<*mut Self> {
        let entered = Self::keep(model);
        if entered.is_err() {
            // SAFETY: opened, and nobody else has it.
            unsafe { close(model) }?;
        }
        entered
    }

    fn keep(model: *mut maix_kpu_model_t) -> Result<*mut Self> {
        let place = Owned::place()?;
        // SAFETY: opened.
        let copy = room_for_copy(&*unsafe { use_model(model) }?)?;
        let context = Self { before: LAST.get(), model, copy, words: [0; 12] };
        LAST.set(place.put(context).into_raw());
        Ok(LAST.get())
    }

    /// The model behind a pointer of the firmware.
    #[inline(never)]
    pub(super) fn find<'c>(pointer: *const c_void) -> Result<&'c mut Self> {
        let mut place = LAST.get();
        // SAFETY: every loaded model knows the one before; the firmware's code and ours take turns.
        while let Some(context) = unsafe { place.as_mut() } {
            if place.addr() == pointer.addr() {
                return Ok(context);
            }
            place = context.before;
        }
        Err(Error::new(Kind::NotLoaded))
    }

    /// Frees a model.
    pub(super) fn unload(pointer: *const c_void) -> Result<()> {
        let context = Self::find(pointer)?;
        let own = &raw mut *context;
        // SAFETY: opened, closed once.
        unsafe { close(context.model) }?;
        let before = context.before;
        if LAST.get() == own {
            LAST.set(before);
        } else {
            let mut place = LAST.get();
            // SAFETY: as in `find`.
            while let Some(context) = unsafe { place.as_mut() } {
                if context.before == own {
                    context.before = before;
                }
                place = context.before;
            }
        }
        // SAFETY: made by `keep`, and no longer in the list.
        drop(unsafe { Owned::from_raw(own) });
        Ok(())
    }

    /// The model, for as long as nobody else uses it.
    pub(super) fn opened(&self) -> Result<Use<'_>> {
        // SAFETY: opened, and closed only by `unload`.
        unsafe { use_model(self.model) }
    }

    /// Runs the model on the bytes of its input.
    ///
    /// # Safety
    /// `bytes` points to as many as the input has.
    pub(super) unsafe fn run(&mut self, bytes: *const u8, dma_channel: Option<u8>) -> Result<()> {
        let mut opened = self.opened()?;
        let size = opened.session.input(0)?.bytes();
        // SAFETY: the caller's promise.
        let input = Input::Raw(unsafe { slice_of(What::TheInput, bytes, size) }?);
        run(&mut opened, &[input], None, None, dma_channel)?;
        drop(opened);
        self.copy_output()
    }

    /// Runs the model on an image or other values.
    pub(super) fn run_on(&mut self, input: Input<'_>, dma_channel: Option<u8>) -> Result<()> {
        run(&mut *self.opened()?, &[input], None, None, dma_channel)?;
        self.copy_output()
    }

    /// Keeps what another model may overwrite.
    fn copy_output(&mut self) -> Result<()> {
        // SAFETY: as in `opened`; the copy is no part of the model.
        let opened = unsafe { use_model(self.model) }?;
        match &mut *self.copy {
            [] => Ok(()),
            copy => accelerator::lend(None, &mut [], &mut |kpu| {
                opened.session.read_output(kpu, 0, copy)
            }),
        }
    }

    /// Runs only the first `layers` nodes from now on.
    pub(super) fn set_layers(&mut self, layers: u32) -> Result<()> {
        let mut opened = self.opened()?;
        let before = opened.session.layers();
        opened.session.set_layers(layers)?;
        let copy = room_for_copy(&opened);
        if copy.is_err() {
            opened.session.set_layers(before)?;
        }
        drop(opened);
        self.copy = copy?;
        Ok(())
    }

    /// An output of the last run.
    pub(super) fn output(&self, index: u32) -> Result<(*mut u8, usize)> {
        if index == 0 && !self.copy.is_empty() {
            return Ok((self.copy.as_ptr().cast_mut(), self.copy.len()));
        }
        let opened = self.opened()?;
        let bytes = opened.session.output_bytes(index)?;
        Ok((bytes.as_ptr().cast_mut(), bytes.len()))
    }
}

/// Memory for output 0, where it does not lie in main memory.
fn room_for_copy(opened: &Opened) -> Result<Block<u8>> {
    let output = opened.session.output(0);
    Block::new(match output {
        Ok(tensor) if !matches!(tensor.place, Place::Main(_)) => tensor.bytes(),
        _ => 0,
    })
}
