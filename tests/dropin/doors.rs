//! Loading and running models by the old functions, and by a session for comparison.

use crate::firmware::firmware;
use core::{
    ffi::{c_int, c_void},
    ptr::{null, null_mut},
    slice,
};
use maix_kpu::{
    ffi::dropin::models::*,
    input::Input,
    kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::{Model, Source},
    session::{Requirements, Session},
};
use std::ffi::CString;

pub const ADDRESS: u32 = 0x30_0000;

pub fn flash(bytes: &[u8]) {
    firmware(|firmware| {
        firmware.flash = vec![0xFF; ADDRESS as usize];
        firmware.flash.extend(bytes);
    });
}

pub fn save(path: &str, bytes: &[u8]) {
    firmware(|firmware| drop(firmware.files.insert(path.to_owned(), bytes.to_vec())));
}

pub fn mnist() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/mnist/mnist_uint8.kmodel");
    std::fs::read(path).unwrap()
}

/// What each output is after a run of a session on `input`, of the first `layers` nodes.
pub fn expected(file: &[u8], input: &[u8], layers: u32) -> Vec<Vec<u8>> {
    let source: &'static dyn Source = Box::leak(Box::new(&*Box::leak(file.to_vec().into())));
    let model = Model::open(source).unwrap();
    let mut memory = vec![0; Requirements::of(&model, source).unwrap().bytes()];
    let mut session = Session::new(model, source, &mut memory).unwrap();
    let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
    let mut simulator = Simulator::new(&mut ram, &mut scratch).unwrap();
    session.set_layers(layers).unwrap();
    session.forward(&mut simulator, &Input::Raw(input)).unwrap();
    let output = |index| {
        let mut bytes = vec![0; session.output(index).unwrap().bytes()];
        session.read_output(&mut simulator, index, &mut bytes).unwrap();
        bytes
    };
    (0..session.output_count()).map(output).collect()
}

/// Bytes of the model's input.
pub fn input_of(file: &[u8], seed: u8) -> Vec<u8> {
    let model = Model::open(&file).unwrap();
    let tensor = model.input(&file, 0).unwrap();
    let values = (0..tensor.elements()).map(|i| (i as u8).wrapping_mul(7).wrapping_add(seed));
    match tensor.dtype.size() {
        1 => values.collect(),
        _ => values.flat_map(|value| (f32::from(value) / 255.0).to_le_bytes()).collect(),
    }
}

pub unsafe extern "C" fn count(calls: *mut c_void) {
    // SAFETY: the test's own counter.
    unsafe { *calls.cast::<usize>() += 1 }
}

/// Runs a model; what each of its `outputs` is.
pub fn run(model: *mut c_void, input: &[u8], outputs: usize) -> Vec<Vec<u8>> {
    let mut calls = 0usize;
    let done = (&raw mut calls).cast();
    // SAFETY: the input is whole, the rest is ours.
    unsafe {
        assert_eq!(sipeed_kpu_model_run(model, input.as_ptr(), 5, Some(count), done), 0);
    }
    assert_eq!(calls, 1);
    (0..outputs as u32).map(|index| output(model, index).unwrap()).collect()
}

pub fn output(model: *mut c_void, index: u32) -> Result<Vec<u8>, c_int> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the places are ours, the output stays while it is copied.
    unsafe {
        match sipeed_kpu_get_output(model, index, &raw mut data, &raw mut size) {
            0 => Ok(slice::from_raw_parts(data, size).to_vec()),
            code => Err(code),
        }
    }
}

pub fn load_file(path: &str) -> Result<(*mut c_void, u32), c_int> {
    let (mut model, mut size) = (null_mut(), 0);
    let path = CString::new(path).unwrap();
    // SAFETY: the places are ours.
    match unsafe { sipeed_kpu_model_load(&raw mut model, 0, path.as_ptr(), &raw mut size) } {
        0 => Ok((model, size)),
        code => Err(code),
    }
}

pub fn load_flash(address: u32, stream: bool) -> Result<(*mut c_void, u32), c_int> {
    let (mut model, mut size) = (null_mut(), 0);
    let (place, size_place) = (&raw mut model, &raw mut size);
    // SAFETY: the places are ours.
    match unsafe {
        match stream {
            false => sipeed_kpu_model_load(place, address, null(), size_place),
            true => sipeed_kpu_model_load_flash(place, address, 1, 0x8000, 80_000_000, size_place),
        }
    } {
        0 => Ok((model, size)),
        code => Err(code),
    }
}

pub fn destroy(mut model: *mut c_void) -> c_int {
    // SAFETY: the place is ours.
    let code = unsafe { sipeed_kpu_model_destroy(&raw mut model) };
    assert!(code != 0 || model.is_null());
    code
}
