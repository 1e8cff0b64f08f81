//! `sipeed_kpu_*`: looking into models, for `kpu.netinfo`.

use super::{
    super::{get_mut, services::print},
    answer,
    context::Context,
};
use crate::{
    error::{Error, Kind, Result, What, write_decimal},
    kpu::layer::Words,
    model::{Model, Node, Operator, v3, v4},
};
use core::{ffi::CStr, ptr::null_mut};
use cty::{c_char, c_int, c_void};
use heapless::String;

/// The layer types of kmodel v3: number, name in the firmware's messages, element type of the output.
const TYPES: &[(u32, &CStr, u8)] = &[
    (0, c"KL_INVALID", b'f'),
    (1, c"KL_ADD", b'f'),
    (2, c"KL_QUANTIZED_ADD", b'B'),
    (3, c"KL_GLOBAL_MAX_POOL2D", b'f'),
    (4, c"KL_QUANTIZED_GLOBAL_MAX_POOL2D", b'B'),
    (5, c"KL_GLOBAL_AVERAGE_POOL2D", b'f'),
    (6, c"KL_QUANTIZED_GLOBAL_AVERAGE_POOL2D", b'B'),
    (7, c"KL_MAX_POOL2D", b'f'),
    (8, c"KL_QUANTIZED_MAX_POOL2D", b'B'),
    (9, c"KL_AVERAGE_POOL2D", b'f'),
    (10, c"KL_QUANTIZED_AVERAGE_POOL2D", b'B'),
    (11, c"KL_QUANTIZE", b'B'),
    (12, c"KL_DEQUANTIZE", b'f'),
    (13, c"KL_REQUANTIZE", b'B'),
    (14, c"KL_L2_NORMALIZATION", b'f'),
    (15, c"KL_SOFTMAX", b'f'),
    (16, c"KL_CONCAT", b'f'),
    (17, c"KL_QUANTIZED_CONCAT", b'B'),
    (18, c"KL_FULLY_CONNECTED", b'f'),
    (19, c"KL_QUANTIZED_FULLY_CONNECTED", b'B'),
    (20, c"KL_TENSORFLOW_FLATTEN", b'f'),
    (21, c"KL_QUANTIZED_TENSORFLOW_FLATTEN", b'B'),
    (22, c"KL_RESIZE_NEAREST_NEIGHBOR", b'f'),
    (23, c"KL_QUANTIZED_RESIZE_NEAREST_NEIGHBOR", b'B'),
    (24, c"KL_CHANNELWISE_DEQUANTIZE", b'f'),
    (25, c"KL_LOGISTIC", b'f'),
    (10240, c"KL_K210_CONV", b'B'),
    (10241, c"KL_K210_ADD_PADDING", b'B'),
    (10242, c"KL_K210_REMOVE_PADDING", b'B'),
    (10243, c"KL_K210_UPLOAD", b'B'),
];

/// A row of [`TYPES`]; that of no layer for other numbers.
fn row(number: u32) -> (&'static CStr, u8) {
    let found = TYPES.iter().find(|row| row.0 == number);
    found.map_or((c"KL_INVALID", b'f'), |&(_, name, dtype)| (name, dtype))
}

/// A layer of a model, and its type number.
fn layer(context: &Context, index: u32) -> Result<(Node<Operator>, u32)> {
    let opened = context.opened()?;
    let (model, source) = (opened.session.model(), opened.session.source());
    let missing =
        Error::about(Kind::LayerIndex, What::Nothing, [index.into(), model.node_count().into()]);
    let node = model.nodes(source).nth(index as usize).ok_or(missing)??;
    Ok((node, model.opcode(source, index)?))
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
        if matches!(context.opened()?.session.model(), Model::V4(_)) {
            return Err(Error::new(Kind::LayersOfV4));
        }
        *kind = layer(context, index)?.1;
        Ok(())
    })
}

/// Bytes of a layer's body; -1 where there is no such layer.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_get_layer_size(model: *mut c_void, index: u32) -> c_int {
    let size = |context: &mut Context| Ok(layer(context, index)?.0.size);
    Context::find(model).and_then(size).map_or(-1, |size| size as c_int)
}

/// The twelve words of a KPU layer, until the next call; NULL where the layer is none.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_get_conv_layer(model: *mut c_void, index: u32) -> *mut Words {
    let words = |context: &mut Context| {
        context.words = match layer(context, index)?.0.operator {
            Operator::V3(v3::layer::Operator::Conv(conv)) => conv.layer.encode(),
            Operator::V4(v4::operator::Operator::KpuConv(conv)) => conv.layer.encode(),
            _ => return Ok(null_mut()),
        };
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
            let name = match model {
                Model::V3(_) => row(model.opcode(source, node.index)?).0.to_str(),
                Model::V4(_) => Ok(node.operator.name()),
            };
            let mut line = String::<96>::new();
            let mut push = |piece: &str| line.push_str(piece).unwrap_or_default();
            push("layer[");
            write_decimal(node.index.into(), &mut push);
            push("]: ");
            push(name.unwrap_or_default());
            push(", ");
            write_decimal(node.size as u64, &mut push);
            push(" bytes");
            print(&line);
        }
        Ok(())
    })
}

/// The element type of what layers of a type of kmodel v3 give: 'f' or 'B'.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_getdtype_from_type(number: u32) -> c_char {
    row(number).1 as c_char
}

/// The name of a layer type of kmodel v3.
#[unsafe(no_mangle)]
pub extern "C" fn sipeed_kpu_model_getname_from_type(number: u32) -> *const c_char {
    row(number).0.as_ptr().cast()
}
