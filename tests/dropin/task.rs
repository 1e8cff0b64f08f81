//! Layers that the firmware made itself.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use crate::firmware::*;
use core::{
    ffi::{c_int, c_void},
    ptr::null_mut,
    slice,
};
use maix_kpu::{
    ffi::dropin::task::*,
    kpu::{
        Accelerator, Job, Kernel, Layer, Pool, Simulator, layer::Words, memory::KPU_RAM_BYTES,
        simulator::SCRATCH_BYTES,
    },
    tensor::ImageShape,
};

/// Memory whose address fits in a layer's 32 bits.
fn low_memory(bytes: usize) -> &'static mut [u8] {
    unsafe extern "C" {
        fn mmap(
            address: *mut c_void,
            length: usize,
            protection: c_int,
            flags: c_int,
            file: c_int,
            offset: i64,
        ) -> *mut c_void;
    }
    const READ_WRITE: c_int = 3;
    const PRIVATE_ANONYMOUS_LOW: c_int = 0x62;
    // SAFETY: new pages, which are kept.
    unsafe {
        let pages = mmap(null_mut(), bytes, READ_WRITE, PRIVATE_ANONYMOUS_LOW, -1, 0);
        assert!(pages.addr() < 1 << 32 && !pages.is_null());
        pages.expose_provenance();
        slice::from_raw_parts_mut(pages.cast(), bytes)
    }
}

/// The SDK's `kpu_task_t`.
#[repr(C)]
struct RawTask {
    layers: *const Words,
    unused: [usize; 5],
    lengths: [u32; 2],
    layer_count: u32,
    remaining: u32,
    dma_channel: u32,
    eight_bit: u32,
    scales: [f32; 4],
}

#[test]
fn a_task_of_the_firmware_runs() {
    let _turn = boot();
    let shape = ImageShape::new(3, 10, 64);
    let memory = low_memory(4096);
    memory.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 37) as u8);
    let base = memory.as_ptr().addr();
    let mut layer = Layer::new(shape, 3, Kernel::K3x3, false, Pool::None, false).unwrap();
    layer.dst_row = 16384;
    layer.send_out = true;
    layer.int_en = true;
    layer.act_addr = base as u32;
    layer.bn_addr = base as u32 + 256;
    layer.weight_addr = base as u32 + 512;
    let pixels: Vec<u8> = (0..shape.elements()).map(|i| (i * 11) as u8).collect();

    let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
    let mut simulator = Simulator::new(&mut ram, &mut scratch).unwrap();
    let job = Job {
        layer,
        activation: &memory[..144],
        batch_norm: &memory[256..][..24],
        weights: &memory[512..][..162],
        eight_bit: false,
    };
    let mut expected = vec![0; shape.elements()];
    simulator.upload(0, shape, &pixels).unwrap();
    simulator.run(&[job]).unwrap();
    simulator.download(16384, shape, &mut expected).unwrap();

    unsafe extern "C" fn done(task: *mut c_void) -> c_int {
        // SAFETY: the test's own task.
        unsafe { (*task.cast::<RawTask>()).remaining = 99 };
        0
    }
    let words = [layer.encode()];
    let mut task = RawTask {
        layers: words.as_ptr(),
        unused: [0; 5],
        lengths: [0; 2],
        layer_count: 1,
        remaining: 0,
        dma_channel: 0,
        eight_bit: 0,
        scales: [1.0; 4],
    };
    // As image.conv3 does: in place.
    let mut image = pixels.clone();
    let place = image.as_mut_ptr().cast::<c_void>();
    // SAFETY: the image is whole, the parameters are where the words say.
    unsafe {
        let own = (&raw mut task).cast::<Task>();
        assert_eq!(kpu_run(own, 5, place, place, Some(done)), 0);
        assert!(image == expected);
        assert_eq!((*own.cast::<RawTask>()).remaining, 99);

        (*own.cast::<RawTask>()).layer_count = 0;
        assert_eq!(kpu_run(own, 5, place, place, Some(done)), -1);
        assert_eq!(kpu_run(null_mut(), 5, place, place, None), -1);
    }
    assert!(printed().contains("the number of layers is 0"));
}
