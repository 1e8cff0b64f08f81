//! A forward allocates nothing.

use maix_kpu::{
    input::Input,
    kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::Model,
    session::{Requirements, Session},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts for each thread.
struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn nothing_is_allocated_while_a_model_runs() {
    let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
    for (name, file) in kmodel_samples::all() {
        let source = &&file[..];
        let model = Model::open(source).unwrap();
        let mut memory = vec![0; Requirements::of(&model, source).unwrap().bytes()];
        let mut session = Session::new(model, source, &mut memory).unwrap();
        let mut simulator = Simulator::new(&mut ram, &mut scratch).unwrap();
        let bytes = vec![7; session.input(0).unwrap().elements()];
        let before = ALLOCATIONS.get();
        assert!(before > 0, "the allocator counts");
        session.forward(&mut simulator, &Input::Bytes(&bytes)).unwrap();
        let last = session.output_count() - 1;
        session.output_bytes(last).unwrap();
        assert_eq!(ALLOCATIONS.get(), before, "{name}");
    }
}
