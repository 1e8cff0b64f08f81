//! Running a model.

use super::{
    accelerator,
    errors::wrap,
    get_mut,
    header::{
        MAIX_KPU_BYTES, MAIX_KPU_FLOATS, MAIX_KPU_GRAY, MAIX_KPU_PLANAR, MAIX_KPU_RAW,
        MAIX_KPU_RGB565, MAIX_KPU_RGB888, maix_kpu_data_t, maix_kpu_model_t, maix_kpu_scaling_t,
        maix_kpu_trace_t,
    },
    model::{Opened, use_model},
    services::{go_on, microseconds, print},
    slice_of, slice_of_mut,
};
use crate::{
    error::{Error, Kind, Result, What},
    input::{Conversion, Image, Input, PixelFormat},
    model::Node,
    session::{
        Session,
        trace::{Trace, Written},
    },
    tensor::{Dtype, copy},
};
use cty::{c_int, c_void};
use heapless::Vec;

/// Inputs that a model may have here.
const INPUTS: usize = 16;

/// An input of the host.
///
/// # Safety
/// Its pointer is valid for its length.
unsafe fn input<'i>(data: &maix_kpu_data_t) -> Result<Input<'i>> {
    let image = |format, pixels| {
        let (width, height) = (data.width as usize, data.height as usize);
        Input::Image(Image { format, width, height, pixels })
    };
    if data.format == MAIX_KPU_FLOATS {
        if !data.length.is_multiple_of(4) {
            let what = What::NumberOfBytesOfFloats;
            return Err(Error::about(Kind::Parameter, what, [data.length as u64, 0]));
        }
        // SAFETY: the caller's promise.
        let floats = unsafe { slice_of(What::TheInput, data.bytes.cast(), data.length / 4) }?;
        return Ok(Input::Floats(floats));
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { slice_of(What::TheInput, data.bytes.cast::<u8>(), data.length) }?;
    Ok(match data.format {
        MAIX_KPU_PLANAR => image(PixelFormat::Planar { channels: data.channels as usize }, bytes),
        MAIX_KPU_RGB565 => image(PixelFormat::Rgb565, bytes),
        MAIX_KPU_RGB888 => image(PixelFormat::Rgb888, bytes),
        MAIX_KPU_GRAY => image(PixelFormat::Gray, bytes),
        MAIX_KPU_BYTES => Input::Bytes(bytes),
        MAIX_KPU_RAW => Input::Raw(bytes),
        format => {
            return Err(Error::about(Kind::Parameter, What::InputsFormat, [format.into(), 0]));
        }
    })
}

/// Tells the host of every node, and asks it whether to stop.
struct Watch<'t> {
    trace: Option<&'t maix_kpu_trace_t>,
    begin: u64,
}

impl Trace for Watch<'_> {
    fn begin(&mut self, _: &Node) -> Result<()> {
        go_on()?;
        if self.trace.is_some() {
            self.begin = microseconds();
        }
        Ok(())
    }

    fn watches_ends(&self) -> bool {
        self.trace.is_some()
    }

    fn end(&mut self, node: &Node, mut written: Written<'_>) -> Result<()> {
        let Some(maix_kpu_trace_t { context, checksums, node: Some(tell) }) = self.trace else {
            return Ok(());
        };
        let elapsed = microseconds().saturating_sub(self.begin);
        let crc = if *checksums { written.crc()? } else { 0 };
        // SAFETY: the host's own function with its own context.
        unsafe { tell(*context, node.index, elapsed, crc) };
        Ok(())
    }
}

/// Whether floats look as if they were meant to be 0 to 1, for a model that takes 0 to 255.
fn looks_scaled(session: &Session<'_>, input: &Input<'_>) -> bool {
    let Input::Floats(values) = input else { return false };
    session.input(0).is_ok_and(|tensor| tensor.dtype == Dtype::U8)
        && values.iter().all(|&value| (0.0..=1.0).contains(&value))
        && values.iter().any(|&value| value > 0.0 && value < 1.0)
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_forward(
    model: *mut maix_kpu_model_t,
    inputs: *const maix_kpu_data_t,
    count: usize,
    scaling: *const maix_kpu_scaling_t,
    trace: *const maix_kpu_trace_t,
    dma_channel: c_int,
) -> c_int {
    wrap(|| {
        // SAFETY: the caller's promises.
        let (mut opened, inputs, scaling, trace) = unsafe {
            let inputs = slice_of(What::TheInputs, inputs, count)?;
            (use_model(model)?, inputs, scaling.as_ref(), trace.as_ref())
        };
        let mut converted: Vec<Input<'_>, INPUTS> = Vec::new();
        for data in inputs {
            // SAFETY: the caller's promise.
            let input = unsafe { input(data) }?;
            converted.push(input).map_err(|_| {
                Error::about(Kind::InputCount, What::Nothing, [count as u64, INPUTS as u64])
            })?;
        }
        run(&mut opened, &converted, scaling, trace, u8::try_from(dma_channel).ok())
    })
}

/// Runs an opened model; what the arguments mean stands at `maix_kpu_forward` in the header.
pub(super) fn run(
    opened: &mut Opened,
    inputs: &[Input<'_>],
    scaling: Option<&maix_kpu_scaling_t>,
    trace: Option<&maix_kpu_trace_t>,
    dma_channel: Option<u8>,
) -> Result<()> {
    let session = &mut opened.session;
    if scaling.is_none() && !opened.hinted && inputs.iter().any(|i| looks_scaled(session, i)) {
        opened.hinted = true;
        print(b"hint: the model takes pixels of 0 to 255, all values given are 0 to 1");
    }
    session.set_conversion(match scaling {
        Some(s) => Conversion::explicit(s.scale, s.mean, s.std),
        None => session.own_conversion(),
    });
    accelerator::lend(dma_channel, &mut opened.copies, &mut |kpu| {
        session.forward_traced(kpu, inputs, &mut Watch { trace, begin: 0 })
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_read_output(
    model: *mut maix_kpu_model_t,
    index: u32,
    bytes: *mut c_void,
    size: usize,
) -> c_int {
    wrap(|| {
        // SAFETY: the caller's promises.
        let (opened, bytes) = unsafe {
            let bytes = slice_of_mut(What::PlaceForTheOutput, bytes.cast::<u8>(), size)?;
            (use_model(model)?, bytes)
        };
        // What lies in main memory can be read while another model has the KPU.
        match opened.session.output_bytes(index) {
            Ok(output) if output.len() == bytes.len() => {
                copy(output, bytes);
                Ok(())
            }
            _ => accelerator::lend(None, &mut [], &mut |kpu| {
                opened.session.read_output(kpu, index, bytes)
            }),
        }
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_output_bytes(
    model: *const maix_kpu_model_t,
    index: u32,
    bytes: *mut *const c_void,
    length: *mut usize,
) -> c_int {
    wrap(|| {
        // SAFETY: the caller's promises.
        let (opened, bytes, length) = unsafe {
            let bytes = get_mut(What::PlaceForThePointer, bytes)?;
            (use_model(model)?, bytes, get_mut(What::Length, length)?)
        };
        let output = opened.session.output_bytes(index)?;
        (*bytes, *length) = (output.as_ptr().cast(), output.len());
        Ok(())
    })
}
