//! KPU layers with parameters that follow a simple rule.

use maix_kpu::{
    kpu::{Kernel, Layer, Pool},
    tensor::ImageShape,
};

/// A layer and its parameters.
pub struct Parameters {
    /// The layer.
    pub layer: Layer,
    /// Batch norm, activation table, weights.
    pub blocks: [Vec<u8>; 3],
}

/// A layer of this kind from row `src` to row `dst`.
pub fn layer(
    input: ImageShape,
    out_channels: usize,
    kernel: Kernel,
    depthwise: bool,
    pool: Pool,
    (src, dst): (usize, usize),
) -> Parameters {
    let mut layer = Layer::new(input, out_channels, kernel, depthwise, pool, true)
        .expect("samples use possible sizes");
    (layer.src_row, layer.dst_row) = (src, dst);
    (layer.arg_x, layer.pad_value, layer.int_en) = (-100, 3, true);
    let batch_norm =
        (0..out_channels as u64).flat_map(|c| ((40 + c) | (c * 5) << 24 | 5 << 56).to_le_bytes());
    // A leaky slope below zero, a straight line above it.
    let lowest = (1u64 << 35) & ((1 << 36) - 1);
    let segments = (0..16u64).flat_map(|i| {
        let (start, mul) = if i == 0 { (lowest, 1) } else { ((i - 1) * 16, 16) };
        (start << 24 | mul << 8 | 4).to_le_bytes()
    });
    let biases = (0..16u8).map(|i| if i == 0 { 0 } else { (i - 1) * 16 });
    let weights = (0..layer.weights_bytes(true)).map(|i| (i * 29 % 251) as u8);
    Parameters {
        layer,
        blocks: [batch_norm.collect(), segments.chain(biases).collect(), weights.collect()],
    }
}
