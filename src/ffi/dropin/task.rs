//! `kpu_run`: layers that the firmware made itself, for `image.conv3`.

use super::{
    super::{accelerator, get, get_mut, slice_of, slice_of_mut},
    answer, firmware,
};
use crate::{
    error::{Error, Kind, Result, What},
    kpu::{ACTIVATION_BYTES, Job, Layer, layer::Words},
};
use core::ptr::with_exposed_provenance;
use cty::{c_int, c_void};

/// The SDK's `kpu_task_t`, as far as it is read and written.
#[repr(C)]
pub struct Task {
    layers: *const Words,
    remaining_layers: *const Words,
    callback: Callback,
    userdata: *mut c_void,
    input: *const c_void,
    output: *mut c_void,
    input_length: u32,
    output_length: u32,
    layer_count: u32,
    remaining_count: u32,
    dma_channel: u32,
    eight_bit: u32,
}

/// Is told that the task is done.
pub type Callback = Option<unsafe extern "C" fn(task: *mut c_void) -> c_int>;

/// What lies at an address of a layer.
///
/// # Safety
/// `len` bytes lie there.
unsafe fn at<'p>(address: u32, len: usize) -> Result<&'p [u8]> {
    // SAFETY: the caller's promise.
    unsafe { slice_of(What::ParameterOfTheLayer, with_exposed_provenance(address as usize), len) }
}

/// The layer of twelve words and its parameters.
///
/// # Safety
/// The parameters lie at the addresses in the words.
unsafe fn job<'p>(words: &Words, eight_bit: bool) -> Result<Job<'p>> {
    let layer = Layer::decode(words)?;
    // SAFETY: the caller's promise.
    unsafe {
        Ok(Job {
            layer,
            batch_norm: at(layer.bn_addr, layer.batch_norm_bytes())?,
            activation: at(layer.act_addr, ACTIVATION_BYTES)?,
            weights: at(layer.weight_addr, layer.weights_bytes(eight_bit))?,
            eight_bit,
        })
    }
}

/// Runs the layers of a task: `input` holds the planar image of the first, `output` gets that of the
/// last. When it returns 0 it has called `callback` with the task; else the KPU is in use, or a
/// layer is not valid.
///
/// # Safety
/// The task's layers, their parameters, and both images are where they should be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kpu_run(
    task: *mut Task,
    channel: c_int,
    input: *const c_void,
    output: *mut c_void,
    callback: Callback,
) -> c_int {
    firmware::start();
    // SAFETY: the caller's promises.
    let code = answer(|| unsafe {
        accelerator::prepare()?;
        let task = get_mut(What::Task, task)?;
        let layers = slice_of(What::Layers, task.layers, task.layer_count as usize)?;
        if layers.is_empty() {
            return Err(Error::of(Kind::Parameter, What::TheNumberOfLayers));
        }
        get(What::TheOutput, output)?;
        accelerator::lend(u8::try_from(channel).ok(), &mut [], &mut |kpu| {
            for (index, words) in layers.iter().enumerate() {
                let job = job(words, task.eight_bit != 0)?;
                let Layer { src_row, input: taken, dst_row, output: given, .. } = job.layer;
                if index == 0 {
                    let pixels = slice_of(What::TheInput, input.cast(), taken.elements())?;
                    kpu.upload(src_row, taken, pixels)?;
                }
                for parameters in [job.batch_norm, job.activation, job.weights] {
                    kpu.share(parameters);
                }
                kpu.run(&[job])?;
                if index + 1 == layers.len() {
                    let place = slice_of_mut(What::TheOutput, output.cast(), given.elements())?;
                    kpu.download(dst_row, given, place)?;
                }
            }
            Ok(())
        })
    });
    match (code, callback) {
        (0, Some(callback)) => {
            // SAFETY: the firmware's own function with its own task.
            unsafe { callback(task.cast()) };
            0
        }
        (0, None) => 0,
        _ => -1,
    }
}
