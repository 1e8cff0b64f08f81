//! Models: opening, closing, looking into them.

use super::{
    accelerator,
    errors::{Text, wrap},
    get, get_mut,
    header::{
        MAIX_KPU_ANCHORS, MAIX_KPU_INPUT_RANGE, MAIX_KPU_LABELS, MAIX_KPU_NOTE, maix_kpu_info_t,
        maix_kpu_model_t, maix_kpu_node_t, maix_kpu_reader_t, maix_kpu_tensor_t,
    },
    memory::{Block, Owned},
    services::{HostFile, HostFlash},
    slice_of, slice_of_mut,
    source::{Bytes, Reader, Stream, reverse_groups},
};
use crate::{
    error::{Error, Kind, Result, What},
    kpu::{Kernel, Layer, Pool, driver::ACTIVATION_ALIGNMENT},
    model::{Model, Source, Span, Tensor},
    session::{Requirements, Session},
    tensor::Dtype,
};
use core::{
    cell::{Cell, UnsafeCell},
    slice,
};
use cty::{c_char, c_int, c_void};

/// What stands behind a `maix_kpu_model_t`.
pub(super) struct Handle {
    running: Cell<bool>,
    inner: UnsafeCell<Opened>,
}

/// An opened model. The session borrows the rest, and is dropped first.
pub(super) struct Opened {
    pub(super) session: Session<'static>,
    /// Whether the hint about the range of floats was given.
    pub(super) hinted: bool,
    /// For the KPU driver's copies of parameters.
    pub(super) copies: Block<u8>,
    memory: Block<u8>,
    source: Owned<Bytes>,
}

/// A model that nobody else uses for the moment.
pub(super) struct Use<'h>(&'h Handle);

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.running.set(false);
    }
}

impl core::ops::Deref for Use<'_> {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        // SAFETY: there is one `Use` of a handle at a time.
        unsafe { &*self.0.inner.get() }
    }
}

impl core::ops::DerefMut for Use<'_> {
    fn deref_mut(&mut self) -> &mut Opened {
        // SAFETY: there is one `Use` of a handle at a time.
        unsafe { &mut *self.0.inner.get() }
    }
}

/// Takes a model to use; an error while it is in use.
///
/// # Safety
/// `model` is NULL or was opened and not closed.
#[inline(never)]
pub(super) unsafe fn use_model<'h>(model: *const maix_kpu_model_t) -> Result<Use<'h>> {
    // SAFETY: every such pointer was made from a handle.
    let handle = unsafe { get(What::Model, model.cast::<Handle>()) }?;
    match handle.running.replace(true) {
        true => Err(Error::new(Kind::Running)),
        false => Ok(Use(handle)),
    }
}

/// Opens a model in the memory that it needs.
pub(super) fn open(bytes: Bytes) -> Result<*mut maix_kpu_model_t> {
    let mut source = Owned::place()?.put(bytes);
    let model = recognise(&mut source)?;
    start(source, model)
}

/// Opens a model from a reader: streamed, or read whole.
pub(super) fn open_reader(reader: Reader, stream: bool) -> Result<*mut maix_kpu_model_t> {
    let mut source = Owned::place()?.put(Bytes::Streamed(Stream::new(reader)));
    let model = recognise(&mut source)?;
    if !stream {
        let end = model.size().saturating_add(model.metadata(&*source).size).min(source.len());
        let mut bytes = Block::aligned(end, ACTIVATION_ALIGNMENT)?;
        source.read(0, &mut bytes)?;
        *source = Bytes::Read(bytes);
    }
    start(source, model)
}

/// The model that the bytes are; byte-swapped ones are then in the order of all files.
fn recognise(bytes: &mut Bytes) -> Result<Model> {
    match Model::open(bytes) {
        Err(error) if error.kind() == Kind::ByteSwapped => {
            swap(bytes)?;
            Model::open(bytes)
        }
        result => result,
    }
}

/// Puts a byte-swapped file in the order of all others.
fn swap(bytes: &mut Bytes) -> Result<()> {
    match bytes {
        Bytes::Streamed(stream) => stream.swap(),
        Bytes::Read(bytes) => reverse_groups(bytes),
        Bytes::Borrowed(borrowed) => {
            let mut copy = Block::aligned(borrowed.len(), ACTIVATION_ALIGNMENT)?;
            borrowed.read(0, &mut copy)?;
            reverse_groups(&mut copy);
            *bytes = Bytes::Read(copy);
        }
    }
    Ok(())
}

/// Takes the memory that a recognised model runs in.
fn start(source: Owned<Bytes>, model: Model) -> Result<*mut maix_kpu_model_t> {
    accelerator::prepare()?;
    // SAFETY: `Opened` keeps the source behind the session, at this address.
    let borrowed: &'static Bytes = unsafe { &*core::ptr::from_ref(&*source) };
    let required = Requirements::of(&model, borrowed)?;
    let mut memory = Block::new(required.bytes())?;
    let copies = Block::new(if cfg!(target_os = "none") { required.kpu_copies } else { 0 })?;
    // SAFETY: `Opened` keeps the memory behind the session and does not touch it.
    let session = Session::new(model, borrowed, unsafe { memory.lend() })?;
    if let Some(bytes) = borrowed.bytes() {
        accelerator::share(bytes)?;
    }
    let opened = Opened { session, hinted: false, copies, memory, source };
    let handle = Handle { running: Cell::new(false), inner: UnsafeCell::new(opened) };
    Ok(Owned::place()?.put(handle).into_raw().cast())
}

/// Opens a model and hands it out.
///
/// # Safety
/// `model` points to a place for the pointer, or is NULL.
unsafe fn hand_out(
    model: *mut *mut maix_kpu_model_t,
    open: &mut dyn FnMut() -> Result<*mut maix_kpu_model_t>,
) -> c_int {
    wrap(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { get_mut(What::PlaceForTheModel, model) }?;
        *place = open()?;
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_open_bytes(
    bytes: *const c_void,
    length: usize,
    model: *mut *mut maix_kpu_model_t,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        hand_out(model, &mut || {
            open(Bytes::Borrowed(slice_of(What::ModelsBytes, bytes.cast(), length)?))
        })
    }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_open_file(
    path: *const c_char,
    stream: bool,
    model: *mut *mut maix_kpu_model_t,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        hand_out(model, &mut || {
            get(What::Path, path)?;
            open_reader(Reader::File(HostFile::open(path)?), stream)
        })
    }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_open_flash(
    address: u32,
    stream: bool,
    model: *mut *mut maix_kpu_model_t,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe { hand_out(model, &mut || open_reader(Reader::Flash(HostFlash::at(address)?), stream)) }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_open_reader(
    reader: *const maix_kpu_reader_t,
    stream: bool,
    model: *mut *mut maix_kpu_model_t,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        hand_out(model, &mut || open_reader(Reader::Host(*get(What::Reader, reader)?), stream))
    }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_close(model: *mut maix_kpu_model_t) -> c_int {
    // SAFETY: the caller's promise.
    wrap(|| if model.is_null() { Ok(()) } else { unsafe { close(model) } })
}

/// Closes a model that is not running.
///
/// # Safety
/// It was opened and is closed once.
pub(super) unsafe fn close(model: *mut maix_kpu_model_t) -> Result<()> {
    // SAFETY: the caller's promise.
    drop(unsafe { use_model(model) }?);
    // SAFETY: the caller's promise, and nobody uses it.
    drop(unsafe { Owned::<Handle>::from_raw(model.cast()) });
    Ok(())
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_info(
    model: *const maix_kpu_model_t,
    info: *mut maix_kpu_info_t,
) -> c_int {
    wrap(|| {
        // SAFETY: the caller's promises.
        let (opened, info) = unsafe { (use_model(model)?, get_mut(What::Info, info)?) };
        let model = opened.session.model();
        let own = match &*opened.source {
            Bytes::Read(bytes) => bytes.len(),
            _ => 0,
        };
        *info = maix_kpu_info_t {
            version: model.version(),
            nodes: model.node_count(),
            active_nodes: opened.session.layers(),
            inputs: model.input_count(),
            outputs: opened.session.output_count(),
            file_bytes: model.size(),
            memory_bytes: opened.memory.len() + opened.copies.len() + own,
        };
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_input(
    model: *const maix_kpu_model_t,
    index: u32,
    tensor: *mut maix_kpu_tensor_t,
) -> c_int {
    wrap(|| {
        // SAFETY: the caller's promises.
        let (opened, tensor) = unsafe { (use_model(model)?, get_mut(What::TheTensor, tensor)?) };
        *tensor = described(&opened.session.input(index)?);
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_output(
    model: *const maix_kpu_model_t,
    index: u32,
    tensor: *mut maix_kpu_tensor_t,
) -> c_int {
    wrap(|| {
        // SAFETY: the caller's promises.
        let (opened, tensor) = unsafe { (use_model(model)?, get_mut(What::TheTensor, tensor)?) };
        *tensor = described(&opened.session.output(index)?);
        Ok(())
    })
}

fn described(tensor: &Tensor) -> maix_kpu_tensor_t {
    let [n, c, h, w] = tensor.shape.map(|size| size as u32);
    let dtype = match tensor.dtype {
        Dtype::F32 => b'f',
        Dtype::U8 => b'B',
    };
    maix_kpu_tensor_t { n, c, h, w, dtype: dtype.into(), bytes: tensor.bytes() }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_node(
    model: *const maix_kpu_model_t,
    index: u32,
    node: *mut maix_kpu_node_t,
) -> c_int {
    wrap(|| {
        // SAFETY: the caller's promises.
        let (opened, out) = unsafe { (use_model(model)?, get_mut(What::Node, node)?) };
        let (model, source) = (opened.session.model(), opened.session.source());
        let node = model.node(source, index)?;
        *out = maix_kpu_node_t {
            opcode: node.opcode,
            offset: node.offset,
            bytes: node.size as u32,
            ..maix_kpu_node_t::default()
        };
        // SAFETY: bytes of the struct.
        let name: &mut [u8] =
            unsafe { slice::from_raw_parts_mut(out.name.as_mut_ptr().cast(), out.name.len()) };
        let mut name = Text::of(name);
        name.write(node.name());
        if let Some(conv) = node.kpu_conv() {
            describe(&conv.layer, out);
        }
        Ok(())
    })
}

fn describe(layer: &Layer, out: &mut maix_kpu_node_t) {
    let (input, output) = (layer.input, layer.output);
    out.on_kpu = true;
    out.words = layer.encode();
    (out.in_w, out.in_h, out.in_c) =
        (input.width as u32, input.height as u32, input.channels as u32);
    (out.out_w, out.out_h, out.out_c) =
        (output.width as u32, output.height as u32, output.channels as u32);
    out.depthwise = layer.depthwise;
    out.kernel = (layer.kernel == Kernel::K3x3).into();
    out.pool = Pool::ALL.iter().position(|&pool| pool == layer.pool).unwrap_or(0) as u32;
    out.para_size = layer.para_size as u32;
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_metadata(
    model: *const maix_kpu_model_t,
    what: c_int,
    bytes: *mut c_void,
    size: usize,
    length: *mut usize,
) -> c_int {
    wrap(|| {
        // SAFETY: the caller's promises.
        let (opened, bytes, length) = unsafe {
            let bytes = slice_of_mut(What::PlaceForMetadata, bytes.cast::<u8>(), size)?;
            (use_model(model)?, bytes, get_mut(What::Length, length)?)
        };
        let metadata = opened.session.metadata();
        let mut range = [0; 8];
        let content = match u32::try_from(what).unwrap_or(0) {
            MAIX_KPU_LABELS => metadata.labels,
            MAIX_KPU_ANCHORS => metadata.anchors,
            MAIX_KPU_NOTE => metadata.note,
            MAIX_KPU_INPUT_RANGE => {
                let Some((low, high)) = metadata.input_range else {
                    *length = 0;
                    return Ok(());
                };
                let (low_bytes, high_bytes) = range.split_at_mut(4);
                low_bytes.iter_mut().zip(low.to_le_bytes()).for_each(|(to, byte)| *to = byte);
                high_bytes.iter_mut().zip(high.to_le_bytes()).for_each(|(to, byte)| *to = byte);
                bytes.iter_mut().zip(range).for_each(|(to, byte)| *to = byte);
                *length = range.len();
                return Ok(());
            }
            _ => {
                return Err(Error::about(Kind::Parameter, What::MetadataEntry, [what as u64, 0]));
            }
        };
        let count = content.len.min(bytes.len());
        let span = Span { len: count, ..content };
        opened.session.source().read(span.offset, bytes.get_mut(..count).unwrap_or_default())?;
        *length = content.len;
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_set_layers(model: *mut maix_kpu_model_t, layers: u32) -> c_int {
    // SAFETY: the caller's promise.
    wrap(|| unsafe { use_model(model) }?.session.set_layers(layers))
}
