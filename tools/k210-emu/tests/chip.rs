//! Small programs on the emulated chip.

mod common;

use common::Run;
use k210_emu::{board::Fault, devices::flash::Flash, machine::Stop};
use maix_kpu::{
    kpu::{
        ACTIVATION_BYTES, Accelerator, Job, Kernel, Layer, Pool, Simulator,
        memory::{self, KPU_RAM_BYTES, ROW_BYTES},
        simulator::SCRATCH_BYTES,
    },
    tensor::ImageShape,
};

/// Runs a program to its end; what it sent.
fn output(name: &str, typed: &str, flash: Flash) -> Option<String> {
    let mut run = Run::new(name, typed, flash)?;
    let stop = run.run();
    assert!(matches!(stop, Stop::Halted), "{stop}\n{}", run.output());
    Some(run.output())
}

#[test]
fn the_serial_port_sends_and_interrupts() {
    let Some(output) = output("uart", "abc\n.", Flash::new()) else { return };
    assert_eq!(output, "hello from the K210\nABC\n.");
}

#[test]
fn timer_and_cycle_counter_go_on() {
    let Some(output) = output("timer", "", Flash::new()) else { return };
    assert_eq!(output, "3 ticks\na second\n");
}

#[test]
fn dma_copies_and_an_unconnected_channel_waits_for_ever() {
    let Some(mut run) = Run::new("dma", "", Flash::new()) else { return };
    let stop = run.run_for(1_000_000);
    assert!(matches!(stop, Stop::InstructionLimit(_)), "{stop}");
    assert_eq!(run.output(), "the first copy is right\nthe second copy is right\nwaiting\n");
    assert!(run.machine.place().contains("(main+"), "{}", run.machine.place());
}

#[test]
fn flash_is_read_erased_and_programmed() {
    let mut flash = Flash::new();
    let content: Vec<u8> = (0..16384u32).map(|n| ((n * 37) >> 3) as u8).collect();
    flash.bytes_mut()[0x300000..][..content.len()].copy_from_slice(&content);
    let sum = content
        .chunks_exact(4)
        .fold(0u32, |sum, word| sum.rotate_left(1) ^ u32::from_le_bytes(word.try_into().unwrap()));
    let Some(output) = output("flash", "", flash) else { return };
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let turned: Vec<u8> = content[..4].iter().rev().copied().collect();
    let mut programmed = vec![0xFF; 4];
    programmed.extend(4..16);
    let expected = [
        "ef17".to_owned(),
        hex(&content[..16]),
        format!("{sum:08x}"),
        hex(&turned),
        hex(&programmed),
    ];
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn ecalls_go_to_the_trap_handler() {
    let Some(output) = output("trap", "e", Flash::new()) else { return };
    assert_eq!(output, "?0b!\n");
}

#[test]
fn a_reset_starts_the_firmware_again() {
    let Some(output) = output("reset", "", Flash::new()) else { return };
    assert_eq!(output, "power\nreset\n");
}

#[test]
fn ends_tell_what_and_where() {
    for (letter, what, place) in [
        ("r", "the firmware reads 4 bytes at 0x90000000, where nothing is", "(read_nowhere+"),
        ("w", "the firmware writes 4 bytes at 0x10, where nothing is", "(write_null+"),
        ("d", "writes 0x408fff00, where no peripheral is", "(no_device+"),
        ("j", "the firmware jumps to 0x12340000, where nothing is", "0x12340000"),
        ("i", "exception: illegal instruction", "(main+"),
        ("b", "exception: breakpoint", "(main+"),
        ("l", "the limit of 200000 instructions is reached", "(loop_for_ever+"),
        ("k", "KPU layer 0", "(loop_for_ever+"),
    ] {
        let Some(mut run) = Run::new("trap", letter, Flash::new()) else { return };
        let stop = run.run_for(200_000).to_string();
        assert!(stop.contains(what), "{letter}: {stop}");
        assert!(run.machine.place().contains(place), "{letter}: {}", run.machine.place());
    }
}

/// What `kpu.c` wants to find in flash: a layer with parameters and input.
fn kpu_job(layer: &Layer, eight_bit: bool) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut seed = 1u32;
    let mut random = |_| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        (seed >> 8) as u8
    };
    let weights: Vec<u8> = (0..layer.weights_bytes(eight_bit)).map(&mut random).collect();
    let input: Vec<u8> = (0..layer.input.elements()).map(&mut random).collect();
    // Shifts that leave about half of the range of a byte.
    let shift = 7 + u64::from(layer.taps().ilog2());
    let batch_norm = (shift << 56 | 1).to_le_bytes().repeat(layer.output.channels);
    let mut activation = vec![0; ACTIVATION_BYTES];
    let start = |value: i64| (value as u64 & 0xF_FFFF_FFFF) << 24;
    for (n, segment) in activation[..128].chunks_exact_mut(8).enumerate() {
        let word = if n == 0 {
            start(-1 << 35)
        } else {
            start(0) | 1 << 8 | if eight_bit { 0 } else { 8 }
        };
        segment.copy_from_slice(&word.to_le_bytes());
    }

    let mut ram = vec![0; KPU_RAM_BYTES];
    memory::upload(&mut ram, layer.src_row, layer.input, &input).unwrap();
    let input_rows = memory::rows(layer.input) * ROW_BYTES;
    let packed = ram[..input_rows].to_vec();
    let mut scratch = vec![0; SCRATCH_BYTES];
    let mut simulator = Simulator::new(&mut ram, &mut scratch).unwrap();
    let job = Job {
        layer: *layer,
        batch_norm: &batch_norm,
        activation: &activation,
        weights: &weights,
        eight_bit,
    };
    simulator.run(&[job]).unwrap();
    let mut result = vec![0; layer.output.elements()];
    simulator.download(layer.dst_row, layer.output, &mut result).unwrap();
    let output_rows = memory::rows(layer.output) * ROW_BYTES;
    let rows = ram[layer.dst_row * ROW_BYTES..][..output_rows].to_vec();

    let mut file = vec![0; 128];
    let mut offsets = Vec::new();
    for part in [&batch_norm, &activation, &weights, &packed] {
        file.resize(file.len().next_multiple_of(256), 0);
        offsets.push(file.len() as u32);
        file.extend(part);
    }
    offsets.extend([input_rows as u32, output_rows as u32, eight_bit.into(), file.len() as u32]);
    for (place, word) in file.chunks_exact_mut(8).zip(layer.encode()) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    for (place, offset) in file[96..].chunks_exact_mut(4).zip(offsets) {
        place.copy_from_slice(&offset.to_le_bytes());
    }
    (file, rows, result)
}

#[test]
fn the_kpu_computes_what_the_library_computes() {
    for (input, channels, kernel, depthwise, pool, eight_bit) in [
        (ImageShape::new(3, 12, 20), 9, Kernel::K3x3, false, Pool::Max2, true),
        (ImageShape::new(6, 5, 7), 6, Kernel::K3x3, true, Pool::None, true),
        (ImageShape::new(16, 8, 8), 5, Kernel::K1x1, false, Pool::Mean2, false),
    ] {
        let mut layer = Layer::new(input, channels, kernel, depthwise, pool, eight_bit).unwrap();
        layer.dst_row = 4096;
        let (file, rows, result) = kpu_job(&layer, eight_bit);
        assert!(result.iter().any(|&b| b != result[0]), "the layer does something");
        let mut flash = Flash::new();
        flash.bytes_mut()[0x300000..][..file.len()].copy_from_slice(&file);
        let Some(output) = output("kpu", "", flash) else { return };
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let lines: Vec<_> = output.lines().collect();
        assert_eq!(lines.len(), 3, "{output}");
        assert_eq!(lines[0], hex(&rows), "by polling");
        assert_eq!(lines[1], hex(&rows), "by interrupt");
        assert_eq!(lines[2], hex(&result), "by DMA");
    }
}

#[test]
fn faults_hit_once() {
    let cases = [
        (Fault::Kpu(1), "kpu_stuck", "at layer 1 the KPU is stuck\n2 layers after a reset\n"),
        (Fault::Dma(1), "dma_stuck", "transfer 1 is stuck\n2 transfers after it\n"),
    ];
    for (fault, program, expected) in cases {
        let Some(mut run) = Run::new(program, "", Flash::new()) else { return };
        run.machine.board().inject(fault);
        let stop = run.run();
        assert!(matches!(stop, Stop::Halted), "{stop}\n{}", run.output());
        assert_eq!(run.output(), expected);
    }
}

#[test]
fn counting_can_be_limited_to_a_function() {
    let Some(mut run) = Run::new("trap", "e", Flash::new()) else { return };
    assert!(run.machine.count_in("nowhere").is_err());
    run.machine.count_in("on_trap").expect("the function");
    assert!(matches!(run.run(), Stop::Halted));
    let report = run.machine.counter().expect("a counter").report();
    // Stores its argument and returns.
    let lines: Vec<_> = report.lines().map(|line| line.split_whitespace().collect()).collect();
    let lines: Vec<Vec<&str>> = lines;
    assert_eq!(lines[1][1..], ["call", "0", "of", "on_trap"], "{report}");
    assert_eq!(lines[0][0], lines[1][0], "{report}");
    assert!((2..=5).contains(&lines[0][0].parse::<u32>().expect("a number")), "{report}");
    assert_eq!(lines.len(), 3, "{report}");
}
