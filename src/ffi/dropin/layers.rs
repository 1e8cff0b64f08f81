//! `sipeed_kpu_*`: looking into models, for `kpu.netinfo`.

use super::{
    super::{errors::Text, get_mut, services::print},
    answer,
    context::Context,
};
use crate::{
    error::{Error, Kind, Result, What},
    kpu::layer::Words,
    model::Node,
    words::word,
};
use core::ptr::null_mut;
use cty::{c_char, c_int, c_void};

/// The names of the layer types of kmodel v3, as in the firmware's messages; those of the KPU last.
const NAMES: &str = "\
    KL_INVALID\0KL_ADD\0KL_QUANTIZED_ADD\0KL_GLOBAL_MAX_POOL2D\0\
    KL_QUANTIZED_GLOBAL_MAX_POOL2D\0KL_GLOBAL_AVERAGE_POOL2D\0\
    KL_QUANTIZED_GLOBAL_AVERAGE_POOL2D\0KL_MAX_POOL2D\0KL_QUANTIZED_MAX_POOL2D\0\
    KL_AVERAGE_POOL2D\0KL_QUANTIZED_AVERAGE_POOL2D\0KL_QUANTIZE\0KL_DEQUANTIZE\0\
    KL_REQUANTIZE\0KL_L2_NORMALIZATION\0KL_SOFTMAX\0KL_CONCAT\0KL_QUANTIZED_CONCAT\0\
    KL_FULLY_CONNECTED\0KL_QUANTIZED_FULLY_CONNECTED\0KL_TENSORFLOW_FLATTEN\0\
    KL_QUANTIZED_TENSORFLOW_FLATTEN\0KL_RESIZE_NEAREST_NEIGHBOR\0\
    KL_QUANTIZED_RESIZE_NEAREST_NEIGHBOR\0KL_CHANNELWISE_DEQUANTIZE\0KL_LOGISTIC\0\
    KL_K210_CONV\0KL_K210_ADD_PADDING\0KL_K210_REMOVE_PADDING\0KL_K210_UPLOAD\0";

/// The element types of what they give.
const DTYPES: &[u8; 30] = b"ffBfBfBfBfBBfBfffBfBfBfBffBBBB";

/// Where a layer type stands in these tables; that of no layer for other numbers.
fn row(number: u32) -> usize {
    match number {
        0..=25 => number as usize,
        10240..=10243 => 26 + (number - 10240) as usize,
        _ => 0,
    }
}

/// A layer of a model.
fn layer(context: &Context, index: u32) -> Result<Node> {
    let session = &context.opened()?.session;
    session.model().node(session.source(), index)
}

/// Number of layers that run; -1 where there is no model.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_get_layer_num(model: *mut c_void) -> c_int {
    let layers = |context: &mut Context| Ok(context.opened()?.session.layers());
    Context::find(model).and_then(layers).map_or(-1, |layers| layers as c_int)
}

/// The type number of a layer of kmodel v3.
///
/// # Safety
/// `kind` points to a place for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_model_get_layer_type(
    model: *mut c_void,
    index: u32,
    kind: *mut u32,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let kind = unsafe { get_mut(What::Type, kind) }?;
        let context = Context::find(model)?;
        if context.opened()?.session.model().version() == 4 {
            return Err(Error::new(Kind::LayersOfV4));
        }
        *kind = layer(context, index)?.opcode;
        Ok(())
    })
}

/// Bytes of a layer's body; -1 where there is no such layer.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_get_layer_size(model: *mut c_void, index: u32) -> c_int {
    let size = |context: &mut Context| Ok(layer(context, index)?.size);
    Context::find(model).and_then(size).map_or(-1, |size| size as c_int)
}

/// The twelve words of a KPU layer, until the next call; NULL where the layer is none.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_get_conv_layer(model: *mut c_void, index: u32) -> *mut Words {
    let words = |context: &mut Context| {
        let Some(conv) = layer(context, index)?.kpu_conv() else { return Ok(null_mut()) };
        context.words = conv.layer.encode();
        Ok(&raw mut context.words)
    };
    Context::find(model).and_then(words).unwrap_or_default()
}

/// Prints a line for each layer.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_print_layer_info(model: *mut c_void) -> c_int {
    answer(|| {
        let opened = Context::find(model)?.opened()?;
        let (model, source) = (opened.session.model(), opened.session.source());
        for node in model.nodes(source).take(opened.session.layers() as usize) {
            let node = node?;
            let name = match model.version() {
                3 => word(NAMES, row(node.opcode)),
                _ => node.name(),
            };
            let mut line = [0; 96];
            let mut line = Text::of(&mut line);
            line.write("layer[");
            line.write_number(node.index.into());
            line.write("]: ");
            line.write(name);
            line.write(", ");
            line.write_number(node.size as u64);
            line.write(" bytes");
            print(line.written());
        }
        Ok(())
    })
}

/// The element type of what layers of a type of kmodel v3 give: 'f' or 'B'.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_getdtype_from_type(number: u32) -> c_char {
    DTYPES.get(row(number)).copied().unwrap_or(b'f') as c_char
}

/// The name of a layer type of kmodel v3.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_getname_from_type(number: u32) -> *const c_char {
    // A zero byte follows each name.
    word(NAMES, row(number)).as_ptr().cast()
}
