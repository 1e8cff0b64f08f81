//! `sipeed_kpu_*`: models are loaded, run and freed.

use super::{
    super::{
        errors::Global,
        get_mut, null as null_error,
        services::{HostFile, HostFlash},
        source::Reader,
    },
    answer,
    context::Context,
    firmware,
};
use crate::error::{Error, Kind, Result, What};
use cty::{c_char, c_int, c_void};

/// Is told that a run has ended.
pub type Done = Option<unsafe extern "C" fn(userdata: *mut c_void)>;

/// The DMA channel of `sipeed_kpu_use_dma`; none before the first call.
static DMA_CHANNEL: Global<Option<c_int>> = Global::new(None);

/// Loads a model and gives it and its size to the firmware.
///
/// # Safety
/// `model` and `size` point to places for them, or are NULL.
unsafe fn load(
    model: *mut *mut c_void,
    size: *mut u32,
    stream: bool,
    reader: Result<Reader>,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (model, size) = unsafe {
            (get_mut(What::PlaceForTheModel, model)?, get_mut(What::PlaceForTheSize, size)?)
        };
        *model = core::ptr::null_mut();
        let reader = reader?;
        let file_bytes = match &reader {
            Reader::File(file) => Some(file.size),
            _ => None,
        };
        let pointer = Context::load(reader, stream)?.cast();
        let model_bytes = Context::find(pointer)?.opened()?.session.model().size();
        *size = file_bytes.unwrap_or(model_bytes) as u32;
        *model = pointer;
        Ok(())
    })
}

/// Loads a model from a file, or where `path` is NULL from a flash address above 0.
///
/// # Safety
/// `model` and `size` point to places for them, `path` is a C string or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_model_load(
    model: *mut *mut c_void,
    address: u32,
    path: *const c_char,
    size: *mut u32,
) -> c_int {
    firmware::start();
    // SAFETY: the caller's promises.
    unsafe {
        let reader = match (address, path.is_null()) {
            (_, false) => HostFile::open(path).map(Reader::File),
            (0, true) => Err(null_error(What::Path)),
            (address, true) => HostFlash::at(address).map(Reader::Flash),
        };
        load(model, size, false, reader)
    }
}

/// Opens a model whose weights stay in flash. How they are read is the library's business, so three
/// arguments have no meaning any more.
///
/// # Safety
/// `model` and `size` point to places for them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_model_load_flash(
    model: *mut *mut c_void,
    address: u32,
    _dual_buffer: u32,
    _batch_size: u32,
    _spi_speed: u32,
    size: *mut u32,
) -> c_int {
    firmware::start();
    // SAFETY: the caller's promises.
    unsafe { load(model, size, true, HostFlash::at(address).map(Reader::Flash)) }
}

/// Frees a model and clears the pointer to it; NULL is no error.
///
/// # Safety
/// `model` points to such a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_model_destroy(model: *mut *mut c_void) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let model = unsafe { get_mut(What::PlaceOfTheModel, model) }?;
        if !model.is_null() {
            Context::unload(*model)?;
            *model = core::ptr::null_mut();
        }
        Ok(())
    })
}

/// The DMA channel that copies images, from the last `sipeed_kpu_use_dma`, else from the call.
pub(super) fn dma_channel(of_call: c_int) -> Option<u8> {
    u8::try_from(DMA_CHANNEL.get().unwrap_or(of_call)).ok()
}

/// Chooses the DMA channel that copies images, -1: the CPU does.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_use_dma(channel: c_int) {
    DMA_CHANNEL.set(Some(channel));
}

/// Runs a model on the bytes of its input: planar pixels, or floats. When it returns 0 it has called
/// `done`, and the outputs are there.
///
/// # Safety
/// `input` points to as many bytes as the model's input has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_model_run(
    model: *mut c_void,
    input: *const u8,
    channel: c_int,
    done: Done,
    userdata: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let code = answer(|| unsafe { Context::find(model)?.run(input, dma_channel(channel)) });
    if let (0, Some(done)) = (code, done) {
        // SAFETY: the firmware's own function with its own data.
        unsafe { done(userdata) }
    }
    code
}

/// An output where it lies, until the model runs again or is freed.
///
/// # Safety
/// `data` and `size` point to places for them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_get_output(
    model: *mut c_void,
    index: u32,
    data: *mut *mut u8,
    size: *mut usize,
) -> c_int {
    // SAFETY: the caller's promises.
    answer(|| unsafe {
        let (data, size) =
            (get_mut(What::PlaceForTheOutput, data)?, get_mut(What::PlaceForTheSize, size)?);
        (*data, *size) = Context::find(model)?.output(index)?;
        Ok(())
    })
}

/// The version of a model's format, 3 or 4; 0 where there is no model.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_get_type(model: *mut c_void) -> c_int {
    let version = |context: &mut Context| Ok(context.opened()?.session.model().version());
    Context::find(model).and_then(version).unwrap_or(0) as c_int
}

/// Width, height and channels, in this order.
type Size = [usize; 3];

/// Writes a size to the firmware's variables.
///
/// # Safety
/// They are valid, or NULL.
#[inline(never)]
unsafe fn give_size([w, h, c]: [*mut u16; 3], size: Result<Size>) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let places = unsafe {
            [
                get_mut(What::TheWidth, w)?,
                get_mut(What::TheHeight, h)?,
                get_mut(What::TheChannels, c)?,
            ]
        };
        for (place, size) in places.into_iter().zip(size?) {
            *place = u16::try_from(size).unwrap_or(u16::MAX);
        }
        Ok(())
    })
}

/// The size of a model's input; an error where it is no image.
///
/// # Safety
/// The last three point to places for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_model_get_input_shape(
    model: *mut c_void,
    w: *mut u16,
    h: *mut u16,
    c: *mut u16,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { give_size([w, h, c], input_size(model)) }
}

/// The size of the input, an image.
fn input_size(model: *mut c_void) -> Result<Size> {
    let shape = Context::find(model)?.opened()?.session.input(0)?.image();
    match shape.plane() == 1 && shape.channels > 3 {
        true => Err(Error::new(Kind::NotAnImage)),
        false => Ok([shape.width, shape.height, shape.channels]),
    }
}

/// The size of output `index`.
fn output_size(model: *mut c_void, index: u32) -> Result<Size> {
    let shape = Context::find(model)?.opened()?.session.output(index)?.image();
    Ok([shape.width, shape.height, shape.channels])
}

/// The size of output 0.
///
/// # Safety
/// The last three point to places for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_model_get_output_shape(
    model: *mut c_void,
    w: *mut u16,
    h: *mut u16,
    c: *mut u16,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { give_size([w, h, c], output_size(model, 0)) }
}

/// The size of an output, as it was set or else as the model has it.
///
/// # Safety
/// The last three point to places for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_get_outputs_shape(
    model: *mut c_void,
    index: u16,
    w: *mut u16,
    h: *mut u16,
    c: *mut u16,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { give_size([w, h, c], output_size(model, index.into())) }
}

/// Gives an output another shape of the same size.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_set_outputs_shape(
    model: *mut c_void,
    index: u16,
    w: u16,
    h: u16,
    c: u16,
) -> c_int {
    answer(|| {
        let shape = [1, c.into(), h.into(), w.into()];
        Context::find(model)?.opened()?.session.set_outputs(index.into(), shape)
    })
}

/// Computes only the first `layers` layers from now on, 0: all; the last of them gives output 0.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_set_output(
    model: *mut c_void,
    index: u32,
    layers: u32,
) -> c_int {
    answer(|| match index {
        0 => Context::find(model)?.set_layers(layers),
        _ => Err(Error::about(Kind::OutputIndex, What::Nothing, [index.into(), 1])),
    })
}
