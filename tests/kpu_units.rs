//! Real KPU layers: the words of every convolution of the test models, and 80 single layers with
//! what they must leave in KPU RAM.

mod common;

use std::{fs, path::PathBuf};

use common::testdata;
use maix_kpu::kpu::{
    Accelerator, Job, Layer, Level, Simulator,
    memory::{self, KPU_RAM_BYTES, ROW_BYTES},
    simulator::SCRATCH_BYTES,
};
use serde_json::Value;

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn words_of_all_models_decode_and_encode() {
    let Some(golden) = testdata("golden") else { return };
    let manifest = json(golden.join("manifest.json"));
    let mut layers = 0;
    for (name, model) in manifest.as_object().unwrap() {
        for node in model["nodes"].as_array().into_iter().flatten() {
            let Some(regs) = node["regs"].as_array() else { continue };
            let words: Vec<u64> = regs
                .iter()
                .map(|r| u64::from_str_radix(r.as_str().unwrap(), 16).unwrap())
                .collect();
            let words = words.try_into().unwrap();
            let layer = Layer::decode(&words).unwrap_or_else(|e| panic!("{name}: {e}: {node}"));
            assert_eq!(layer.encode(), words, "{name}: {node}");
            let rebuilt = Layer::new(
                layer.input,
                layer.output.channels,
                layer.kernel,
                layer.depthwise,
                layer.pool,
                true,
            )
            .unwrap();
            assert_eq!(rebuilt.out_ch_per_load, layer.out_ch_per_load, "{name}: {node}");
            assert_eq!(rebuilt.para_size, layer.para_size, "{name}: {node}");
            layers += 1;
        }
    }
    assert_eq!(layers, 869);
}

/// Bytes `[start, length]` of a unit's file.
fn part<'b>(bytes: &'b [u8], unit: &Value, name: &str) -> &'b [u8] {
    let range = unit["offsets"][name].as_array().unwrap();
    let [start, length] = [0, 1].map(|i| range[i].as_u64().unwrap() as usize);
    &bytes[start..start + length]
}

#[test]
fn single_layers_are_bit_exact() {
    let Some(golden) = testdata("golden") else { return };
    let index = json(golden.join("kpu_units/index.json"));
    let units = index["units"].as_array().unwrap();
    assert_eq!(units.len(), 80);
    let mut scratch = vec![0; SCRATCH_BYTES];
    for unit in units {
        let name = unit["file"].as_str().unwrap();
        let bytes = fs::read(golden.join(name)).unwrap();
        let part = |what| part(&bytes, unit, what);
        let words: Vec<u64> =
            part("words").as_chunks().0.iter().map(|&w| u64::from_le_bytes(w)).collect();
        let layer = Layer::decode(&words.try_into().unwrap()).unwrap();
        let job = Job {
            layer,
            batch_norm: part("batchnorm"),
            activation: part("activation"),
            weights: part("weights"),
            eight_bit: true,
        };
        for level in [None].into_iter().chain(Level::all().map(Some)) {
            let mut ram = vec![0xA5; KPU_RAM_BYTES];
            let kpu = Simulator::new(&mut ram, &mut scratch).unwrap();
            let mut kpu = match level {
                None => kpu.reference(),
                Some(level) => kpu.level(level),
            };
            kpu.upload(layer.src_row, layer.input, part("input")).unwrap();
            kpu.run(&[job]).unwrap();
            let mut output = vec![0; layer.output.elements()];
            kpu.download(layer.dst_row, layer.output, &mut output).unwrap();
            assert_eq!(output, part("output"), "{name}, {level:?}");
            let begin = layer.dst_row * ROW_BYTES;
            let rows = part("output_rows");
            assert_eq!(rows.len(), memory::rows(layer.output) * ROW_BYTES);
            assert!(
                ram[begin..begin + rows.len()] == *rows,
                "{name}, {level:?}: bytes between the lines"
            );
        }
    }
}
