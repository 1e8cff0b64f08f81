//! Any allocation may fail, while a model is loaded and while it runs.

use crate::{doors::*, firmware::*};
use core::{
    ffi::{c_char, c_int, c_void},
    ptr::null_mut,
    slice,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use maix_kpu::{
    error::Code,
    ffi::{
        dropin::models::sipeed_kpu_model_run,
        header::maix_kpu_services_t,
        services::{maix_kpu_start, maix_kpu_stop},
    },
};

/// Allocations asked for, the one that fails, and those that were not given back.
static ASKED: AtomicUsize = AtomicUsize::new(0);
static FAILS: AtomicUsize = AtomicUsize::new(usize::MAX);
static LIVE: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn aligned_alloc(alignment: usize, bytes: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
}

unsafe extern "C" fn allocate(_: *mut c_void, bytes: usize, alignment: usize) -> *mut c_void {
    if ASKED.fetch_add(1, Relaxed) == FAILS.load(Relaxed) {
        return null_mut();
    }
    LIVE.fetch_add(1, Relaxed);
    // SAFETY: the C library's function.
    unsafe { aligned_alloc(alignment, bytes.next_multiple_of(alignment)) }
}

unsafe extern "C" fn release(_: *mut c_void, memory: *mut c_void) {
    LIVE.fetch_sub(1, Relaxed);
    // SAFETY: of `allocate`, and given back once.
    unsafe { free(memory) }
}

unsafe extern "C" fn read_flash(
    _: *mut c_void,
    address: u32,
    bytes: *mut c_void,
    length: usize,
) -> bool {
    // SAFETY: the library's own memory.
    let out = unsafe { slice::from_raw_parts_mut(bytes.cast::<u8>(), length) };
    firmware(|firmware| out.copy_from_slice(&firmware.flash[address as usize..][..length]));
    true
}

unsafe extern "C" fn print(_: *mut c_void, text: *const c_char, length: usize) {
    // SAFETY: the library prints what is there.
    let text = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
    firmware(|firmware| firmware.console.push_str(str::from_utf8(text).unwrap()));
}

/// Loads, runs and frees the model in flash; its outputs.
fn attempt(stream: bool, input: &[u8], outputs: usize) -> Result<Vec<Vec<u8>>, c_int> {
    let (model, _) = load_flash(ADDRESS, stream)?;
    let mut calls = 0usize;
    // SAFETY: the input is whole, the rest is ours.
    let code = unsafe {
        sipeed_kpu_model_run(model, input.as_ptr(), 5, Some(count), (&raw mut calls).cast())
    };
    let answer = match code {
        0 => (0..outputs as u32).map(|index| output(model, index)).collect(),
        code => Err(code),
    };
    assert_eq!(destroy(model), 0);
    answer
}

#[test]
fn each_allocation_may_fail_and_the_next_model_runs() {
    let _turn = boot();
    let models = kmodel_samples::all().into_iter().chain([("mnist", mnist())]);
    for (name, mut file) in models {
        let input = input_of(&file, 4);
        let expected = expected(&file, &input, 0);
        file.resize(file.len() + (1 << 16), 0xFF);
        flash(&file);
        let flash_size = ADDRESS + file.len() as u32;
        for stream in [false, true] {
            let mut failed = 0;
            loop {
                maix_kpu_stop();
                let services = maix_kpu_services_t {
                    context: null_mut(),
                    allocate: Some(allocate),
                    release: Some(release),
                    print: Some(print),
                    microseconds: None,
                    interrupted: None,
                    open_file: None,
                    read_file: None,
                    close_file: None,
                    read_flash: Some(read_flash),
                    flash_size,
                };
                // SAFETY: the services do what the header asks for.
                assert_eq!(unsafe { maix_kpu_start(&raw const services) }, 0);
                ASKED.store(0, Relaxed);
                FAILS.store(failed, Relaxed);
                let first = attempt(stream, &input, expected.len());
                let asked = ASKED.load(Relaxed);
                FAILS.store(usize::MAX, Relaxed);
                let second = attempt(stream, &input, expected.len());
                assert_eq!(second.as_ref(), Ok(&expected), "{name} after allocation {failed}");
                maix_kpu_stop();
                assert_eq!(LIVE.load(Relaxed), 0, "{name}: kept after allocation {failed}");
                if asked <= failed {
                    assert_eq!(first, second, "{name}");
                    break;
                }
                assert_eq!(first, Err(Code::NoMemory as c_int), "{name}: allocation {failed}");
                assert!(printed().contains("memory"), "{name}: allocation {failed}");
                failed += 1;
            }
            assert!(failed >= 3, "{name}: {failed} allocations");
            println!("{name}, streamed {stream}: {failed} allocations");
        }
    }
}
