//! What goes wrong on the chip raises, and the next model loads and runs. (A DMA transfer that never
//! ends is tried by `tests/on_chip`.)

use k210_emu::board::Fault;

use crate::board::{Programs, Setup, file};

const MODEL: usize = 0x30_0000;

/// A script with the uint8 digit model in flash, a function `attempt` that says what a call raises,
/// and one more forward pass at the end.
fn script(body: &str) -> String {
    format!(
        "import KPU as kpu
from Maix import utils
pixels = bytes(range(256)) * 3 + bytes(16)
def attempt(call):
    try:
        return call()
    except Exception as error:
        print(type(error).__name__, error)
def answer(load=kpu.load):
    task = load({MODEL})
    try:
        return kpu.forward(task, pixels).argmax()
    finally:
        kpu.deinit(task)
free = utils.heap_free()
{body}
print('then', answer(), free - utils.heap_free())
"
    )
}

fn setup() -> Setup {
    Setup::flash([(MODEL, file("examples/mnist/mnist_uint8.kmodel"))])
}

/// What a script printed before the forward pass at the end, which gives what it gives without
/// faults, and leaves nothing of the heap taken.
fn before_the_end(programs: &Programs, text: &str) -> String {
    let healthy = programs.on_chip(&setup(), &script(""));
    let (text, then) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    assert_eq!(then, healthy.trim_end(), "the next run, and what it leaves of the heap\n{text}");
    assert!(then.ends_with(" 0"), "{then}");
    text.to_string()
}

/// Runs a script with faults; what it printed before the end.
fn run(faults: &[Fault], body: &str) -> Option<String> {
    let programs = Programs::find()?;
    let mut setup = setup();
    setup.faults = faults.to_vec();
    let text = programs.on_chip(&setup, &script(body));
    Some(before_the_end(&programs, &text))
}

#[test]
fn a_kpu_that_never_ends_raises() {
    for layer in [0, 2, 5] {
        let Some(text) = run(&[Fault::Kpu(layer)], "attempt(answer)") else { return };
        assert!(text.starts_with("OSError ") && text.contains("2008"), "layer {layer}: {text}");
    }
}

/// The first bytes of the model, once: the second attempt reads it well.
#[test]
fn a_flash_that_reads_ones_raises() {
    for load in ["kpu.load", "lambda address: kpu.load_flash(address, 1, 0x8000, 40000000)"] {
        let script = format!("attempt(lambda: answer({load}))");
        let Some(text) = run(&[Fault::Flash(MODEL as u64)], &script) else { return };
        assert!(text.starts_with("ValueError ") && text.contains(":2002, "), "{load}: {text}");
    }
}

#[test]
fn garbage_at_the_address_raises() {
    let Some(text) = run(
        &[],
        "attempt(lambda: kpu.load(0x700000))
attempt(lambda: kpu.load(bytes(range(256)) * 40))",
    ) else {
        return;
    };
    assert_eq!(text.matches("ValueError ").count(), 2, "{text}");
}

#[test]
fn no_memory_raises() {
    let Some(text) = run(
        &[],
        "taken = []
size = utils.heap_free()
while size > 1000:
    left = utils.heap_free()
    try:
        taken.append(kpu.load(0x300000))
    except Exception as error:
        print(type(error).__name__, error)
        break
print(len(taken) > 3)
for task in taken:
    kpu.deinit(task)
del taken",
    ) else {
        return;
    };
    assert!(text.contains("2006") && text.ends_with("True"), "{text}");
}

#[test]
fn each_allocation_may_fail() {
    let Some(programs) = Programs::find() else { return };
    for load in ["kpu.load", "lambda address: kpu.load_flash(address, 1, 0x8000, 40000000)"] {
        let script = script(&format!("attempt(lambda: answer({load}))"));
        let (_, all) = programs.on_chip_without(u64::MAX, &setup(), &script);
        // The last pass is like the first, but that the module is at work already.
        let mut raised = 0;
        for nth in 0..all {
            let (text, _) = programs.on_chip_without(nth, &setup(), &script);
            let end = text.lines().last().unwrap_or_default();
            if !text.starts_with("ValueError") && !text.starts_with("OSError") {
                // The passes of the first attempt are over.
                assert!(end.contains("2006"), "{load}, allocation {nth}: {text}");
                continue;
            }
            let text = before_the_end(&programs, &text);
            assert!(text.contains("2006"), "{load}, allocation {nth}: {text}");
            raised += 1;
        }
        println!("{load}: {raised} of {all} allocations are the first attempt's");
        assert!(raised > 2, "{load}: only {raised} of {all} allocations were tried");
    }
}
