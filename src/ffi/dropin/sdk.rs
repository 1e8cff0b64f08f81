//! `nncase_*`, and with feature `canmv` the same as `kpu_*`: models that lie in memory, in the
//! context structure of the chip's SDK.

use super::{
    super::{get_mut, model::open, null as null_error, slice_of, source::Bytes},
    answer,
    context::Context,
    firmware,
    models::Done,
};
use crate::{
    error::{Result, What},
    model::{Model, Source, Tensor, source::truncated, v3},
    session::Session,
};
use core::ptr::{copy_nonoverlapping, null};
use cty::{c_int, c_void};

/// The SDK's `kpu_model_context_t`. CanMV's C code looks into that of a kmodel v3 for shapes.
#[repr(C)]
pub struct SdkContext {
    /// Whether the model is a kmodel v4.
    is_v4: c_int,
    /// v3: the model; v4: our own.
    model: *const u8,
    main_memory: *mut u8,
    output_count: u32,
    outputs: *const u8,
    layer_headers: *const u8,
    bodies: *const u8,
    layer_count: u32,
    current_layer: u32,
    current_body: *const u8,
    dma_channel: c_int,
    done: Done,
    /// v3: our own.
    userdata: *mut c_void,
}

impl SdkContext {
    fn own(&self) -> *const c_void {
        if self.is_v4 != 0 { self.model.cast() } else { self.userdata }
    }
}

/// A model in memory whose size only its own bytes tell.
struct Somewhere(*const u8);

/// Where RAM ends, past the CPU's cache and through it.
const RAM_ENDS: [usize; 2] = [0x4060_0000, 0x8060_0000];
const RAM_BYTES: usize = 0x60_0000;
/// Bytes of the largest model elsewhere: of flash memory.
const MOST: usize = 16 << 20;

impl Source for Somewhere {
    fn len(&self) -> usize {
        let room = RAM_ENDS.into_iter().filter_map(|end| end.checked_sub(self.0.addr()));
        room.filter(|&room| room <= RAM_BYTES).min().unwrap_or(MOST)
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(out.len());
        if end.is_none_or(|end| end > self.len()) {
            return Err(truncated(offset, out.len(), self.len()));
        }
        // SAFETY: the firmware says that a model lies here, and nothing behind it is asked for but
        // what the model says it has.
        unsafe { copy_nonoverlapping(self.0.wrapping_add(offset), out.as_mut_ptr(), out.len()) };
        Ok(())
    }
}

/// The begin of a model.
struct Head<'b>(&'b [u8]);

impl Source for Head<'_> {
    fn len(&self) -> usize {
        MOST
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        let bytes = self.0.get(offset..).and_then(|bytes| bytes.get(..out.len()));
        let bytes = bytes.ok_or_else(|| truncated(offset, out.len(), self.0.len()))?;
        out.copy_from_slice(bytes);
        Ok(())
    }
}

/// Opens the model that lies at `bytes` and fills the firmware's context.
///
/// # Safety
/// `context` points to one, `bytes` to a model that stays.
unsafe fn load(context: *mut SdkContext, bytes: *const u8) -> c_int {
    firmware::start();
    answer(|| {
        // SAFETY: the caller's promise.
        let context = unsafe { get_mut(What::Context, context) }?;
        if bytes.is_null() {
            return Err(null_error(What::ModelsBytes));
        }
        let model = Model::open(&Somewhere(bytes))?;
        // SAFETY: the caller's promise; the model says how long it is.
        let file = unsafe { slice_of(What::ModelsBytes, bytes, model.size()) }?;
        let own = Context::enter(open(Bytes::Borrowed(file))?)?;
        let outputs = bytes.wrapping_add(v3::HEADER_BYTES);
        let headers = outputs.wrapping_add(8 * model.output_count() as usize);
        *context = SdkContext {
            is_v4: 0,
            model: bytes,
            main_memory: core::ptr::null_mut(),
            output_count: model.output_count(),
            outputs,
            layer_headers: headers,
            bodies: headers.wrapping_add(8 * model.node_count() as usize),
            layer_count: model.node_count(),
            current_layer: 0,
            current_body: null(),
            dma_channel: -1,
            done: None,
            userdata: own.cast(),
        };
        if model.version() == 4 {
            (context.is_v4, context.model) = (1, own.cast());
        }
        Ok(())
    })
}

/// Runs the model and calls `done` when the outputs are there.
///
/// # Safety
/// `context` was filled by [`load`], `input` points to as many bytes as the model's input has.
unsafe fn run(
    context: *mut SdkContext,
    input: *const u8,
    channel: c_int,
    done: Done,
    userdata: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promises.
    let code = answer(|| unsafe {
        let own = get_mut(What::Context, context)?.own();
        Context::find(own)?.run(input, u8::try_from(channel).ok())
    });
    if let (0, Some(done)) = (code, done) {
        // SAFETY: the firmware's own function with its own data.
        unsafe { done(userdata) }
    }
    code
}

/// An output where it lies, until the model runs again or is freed.
///
/// # Safety
/// `context` was filled by [`load`], the others point to places for the answer.
unsafe fn output(
    context: *mut SdkContext,
    index: u32,
    data: *mut *mut u8,
    size: *mut usize,
) -> c_int {
    // SAFETY: the caller's promises.
    answer(|| unsafe {
        let own = get_mut(What::Context, context)?.own();
        let (data, size) =
            (get_mut(What::PlaceForTheOutput, data)?, get_mut(What::PlaceForTheSize, size)?);
        (*data, *size) = Context::find(own)?.output(index)?;
        Ok(())
    })
}

/// Frees the model.
///
/// # Safety
/// `context` was filled by [`load`].
unsafe fn free(context: *mut SdkContext) {
    // SAFETY: the caller's promise.
    answer(|| Context::unload(unsafe { get_mut(What::Context, context) }?.own()));
}

/// The four functions under the names of one library.
macro_rules! exports {
    ($load:ident, $run:ident, $output:ident, $free:ident) => {
        /// Opens a model in memory, which stays there; it is checked, and not copied.
        ///
        /// # Safety
        /// `context` points to one, `bytes` to a model that stays.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $load(context: *mut SdkContext, bytes: *const u8) -> c_int {
            // SAFETY: the caller's promises.
            unsafe { load(context, bytes) }
        }

        /// Runs a model on the bytes of its input. When it returns 0 it has called `done`.
        ///
        /// # Safety
        /// The model was loaded, `input` points to as many bytes as its input has.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $run(
            context: *mut SdkContext,
            input: *const u8,
            channel: c_int,
            done: Done,
            userdata: *mut c_void,
        ) -> c_int {
            // SAFETY: the caller's promises.
            unsafe { run(context, input, channel, done, userdata) }
        }

        /// An output where it lies, until the model runs again or is freed.
        ///
        /// # Safety
        /// The model was loaded, `data` and `size` point to places for the answer.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $output(
            context: *mut SdkContext,
            index: u32,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> c_int {
            // SAFETY: the caller's promises.
            unsafe { output(context, index, data, size) }
        }

        /// Frees a model.
        ///
        /// # Safety
        /// `context` points to that of a loaded model, or of one that was freed.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $free(context: *mut SdkContext) {
            // SAFETY: the caller's promise.
            unsafe { free(context) }
        }
    };
}

exports!(nncase_load_kmodel, nncase_run_kmodel, nncase_get_output, nncase_model_free);
#[cfg(feature = "canmv")]
exports!(kpu_load_kmodel, kpu_run_kmodel, kpu_get_output, kpu_model_free);

/// Bytes of the model whose first `length` bytes lie at `bytes`; -1 where it is no model, or where its
/// headers lie further behind.
///
/// # Safety
/// `bytes` points to as many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nncase_probe_model_buffer_size(bytes: *const u8, length: u32) -> i32 {
    firmware::start();
    let mut size = -1;
    answer(|| {
        // SAFETY: the caller's promise.
        let head = unsafe { slice_of(What::ModelsBytes, bytes, length as usize) }?;
        size = Model::read(&Head(head))?.size() as i32;
        Ok(())
    });
    size
}

/// The number of a model's outputs; 0 where there is no model.
///
/// # Safety
/// `context` was filled by `nncase_load_kmodel`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nncase_get_output_count(context: *mut SdkContext) -> c_int {
    let mut count = 0;
    answer(|| {
        // SAFETY: the caller's promise.
        let own = unsafe { get_mut(What::Context, context) }?.own();
        count = Context::find(own)?.opened()?.session.output_count() as c_int;
        Ok(())
    });
    count
}

/// Writes the size of a tensor of a model to the firmware's variables.
///
/// # Safety
/// `context` was filled by `nncase_load_kmodel`, `places` are valid.
unsafe fn give_size(
    context: *mut SdkContext,
    places: [*mut c_int; 3],
    tensor: fn(&Session<'_>, u32) -> Result<Tensor>,
    index: u32,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promises.
        unsafe {
            let own = get_mut(What::Context, context)?.own();
            let shape = tensor(&Context::find(own)?.opened()?.session, index)?.image();
            let sizes = [shape.channels, shape.height, shape.width];
            for (place, size) in places.into_iter().zip(sizes) {
                *get_mut(What::PlaceForTheSize, place)? = size as c_int;
            }
        }
        Ok(())
    })
}

/// The size of a model's input.
///
/// # Safety
/// `context` was filled by `nncase_load_kmodel`, the last three point to places for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nncase_get_input_shape(
    context: *mut SdkContext,
    index: c_int,
    channels: *mut c_int,
    height: *mut c_int,
    width: *mut c_int,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        give_size(
            context,
            [channels, height, width],
            |session, index| session.input(index),
            index as u32,
        )
    }
}

/// The size of output 0.
///
/// # Safety
/// `context` was filled by `nncase_load_kmodel`, the last three point to places for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nncase_get_output_shape(
    context: *mut SdkContext,
    channels: *mut c_int,
    height: *mut c_int,
    width: *mut c_int,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        give_size(context, [channels, height, width], |session, index| session.output(index), 0)
    }
}
