//! Real KPU layers: the words of every convolution of the test models.

use std::{fs, path::PathBuf};

use maix_kpu::kpu::Layer;
use serde_json::Value;

/// The folder of golden data, or `None` with a visible line.
fn golden() -> Option<PathBuf> {
    let data = std::env::var_os("MAIX_KPU_TESTDATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")),
        PathBuf::from,
    );
    let golden = data.join("golden");
    if !golden.is_dir() {
        println!("skipped: no golden data in {}", data.display());
        return None;
    }
    Some(golden)
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn words_of_all_models_decode_and_encode() {
    let Some(golden) = golden() else { return };
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
