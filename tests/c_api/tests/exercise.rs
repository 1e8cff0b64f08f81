//! The C program calls every function, with every sample model, and with every allocation failing.

use c_api::{Model, exercise};
use maix_kpu::model::{Model as Kmodel, metadata::Content};
use std::sync::Mutex;

/// The C program has one set of services.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn run(bytes: &[u8], fail_at: usize) -> usize {
    let model = Model { bytes: bytes.as_ptr(), length: bytes.len() };
    let mut allocations = 0;
    // SAFETY: the model and the number outlive the call, and one thread calls.
    let line = unsafe { exercise(&raw const model, fail_at, &raw mut allocations) };
    assert_eq!(line, 0, "exercise.c:{line}, allocation {fail_at} failing");
    allocations
}

/// The sample models with one input, each with metadata behind it.
fn models() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    kmodel_samples::all().into_iter().map(|(name, mut file)| {
        let size = Kmodel::open(&&file[..]).expect("a sample").size();
        file.resize(size, 0);
        let content =
            Content { labels: "cat\ndog", input_range: Some((-1.0, 1.0)), ..Content::default() };
        content.write(&mut |bytes| file.extend(bytes));
        file.resize(file.len().next_multiple_of(4), 0);
        (name, file)
    })
}

#[test]
fn every_function_does_what_the_header_says() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    for (name, model) in models() {
        println!("{name}");
        assert!(run(&model, usize::MAX) > 0);
    }
}

#[test]
fn any_allocation_may_fail() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    for (name, model) in models() {
        let all = run(&model, usize::MAX);
        for fail_at in 0..all {
            assert!(run(&model, fail_at) > fail_at, "{name}: allocation {fail_at}");
        }
    }
}

#[test]
fn the_program_calls_every_function() {
    let header = include_str!("../../../mpy_bindings/include/maix_kpu.h");
    let program = include_str!("../exercise.c");
    let names = header.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let functions =
        names.filter(|name| name.starts_with("maix_kpu_") && header.contains(&format!("{name}(")));
    let mut count = 0;
    for name in functions {
        count += 1;
        assert!(program.contains(&format!("{name}(")), "{name} is never called");
    }
    assert!(count > 40);
}
