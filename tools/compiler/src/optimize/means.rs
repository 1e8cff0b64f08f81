//! The mean of a square image as depthwise convolutions one behind the other, each of which adds up
//! pixels or leaves fewer of them, so that the KPU can have it. Kernels of positive taps average what
//! the ones before round to bytes; those with negative taps would magnify it, so they stand first.

use crate::{
    estimate::{Clocks, Work},
    graph::{Conv2d, Graph, Node, Op, Padding, ReduceOp, Window},
    lower::convolution::feeds_kpu,
    optimize::wide::MAX_CHANNELS,
    options::Options,
};
use maix_kpu::{
    kpu::{Kernel, Layer, layer::Pool},
    tensor::ImageShape,
};

/// Splits the means that KPU layers read, where that is faster than adding up bytes on the CPU.
pub fn split(graph: &mut Graph, options: &Options) {
    for at in (0..graph.nodes.len()).rev() {
        let Some((channels, size)) = whole_mean(graph, at) else { continue };
        let Some(stages) = stages(size) else { continue };
        if channels <= MAX_CHANNELS
            && feeds_kpu(graph, options, graph.nodes[at].output)
            && milliseconds(&stages, channels, size).is_some_and(|ms| ms < on_cpu(channels, size))
        {
            replace(graph, at, stages);
        }
    }
}

/// Channels and size of the square image that a node takes the mean of.
fn whole_mean(graph: &Graph, at: usize) -> Option<(usize, usize)> {
    let node = &graph.nodes[at];
    let &[1, channels, height, width] = graph.shape(node.inputs[0]) else { return None };
    let Op::Reduce { op: ReduceOp::Mean, axes } = &node.op else { return None };
    // Of 3x3 pixels the KPU takes the mean in one layer.
    (axes[..] == [2, 3] && height == width && height > 3).then_some((channels, height))
}

/// A depthwise convolution of 3x3; both axes are alike.
struct Stage {
    taps: [f32; 3],
    stride: usize,
    pad: Padding,
}

impl Stage {
    fn window(&self) -> Window {
        Window { kernel: [3, 3], stride: [self.stride; 2], dilation: [1, 1], pad: [self.pad; 2] }
    }
}

/// Convolutions that together weigh all pixels of an image alike; the result is the first pixel of
/// the last. A stage without a border leaves the KPU's image as large as it was, so that none is
/// below 4x4.
fn stages(size: usize) -> Option<Vec<Stage>> {
    let stage = |taps, stride, pad| Stage { taps, stride, pad };
    const GOLDEN: f32 = 1.618_034;
    Some(match size {
        // Pixels 0 and 2, 1 and 3; then both sums.
        4 => vec![stage([1.0, 0.0, 1.0], 1, (1, 1)), stage([0.0, 1.0, 1.0], 1, (0, 0))],
        5 => {
            vec![stage([1.0, -1.0 / GOLDEN, 1.0], 1, (0, 0)), stage([1.0, GOLDEN, 1.0], 1, (0, 0))]
        }
        // (1 - z + z^2) (1 + z + z^2) (1 + z) = 1 + z + .. + z^5
        6 => vec![
            stage([1.0, -1.0, 1.0], 1, (1, 1)),
            stage([1.0, 1.0, 1.0], 1, (0, 0)),
            stage([0.0, 1.0, 1.0], 1, (0, 0)),
        ],
        // 1 + z + .. + z^6 is the product of 1 - 2 cos(2 pi k / 7) z + z^2 for k = 1, 2, 3.
        7 => vec![
            stage([1.0, -1.246_979_6, 1.0], 1, (0, 0)),
            stage([1.0, 0.445_041_87, 1.0], 1, (0, 0)),
            stage([1.0, 1.801_937_7, 1.0], 1, (0, 0)),
        ],
        8.. if size.is_multiple_of(2) => {
            let mut all = vec![stage([0.0, 1.0, 1.0], 2, (1, 0))];
            all.extend(stages(size / 2)?);
            all
        }
        _ => return None,
    })
}

/// What the stages take on the KPU, or `None` where it has no such layer.
fn milliseconds(stages: &[Stage], channels: usize, size: usize) -> Option<f64> {
    let mut size = size;
    stages.iter().try_fold(0.0, |sum, stage| {
        let image = ImageShape::new(channels, size.max(4), size.max(4));
        let layer = Layer::new(image, channels, Kernel::K3x3, true, Pool::None, true).ok()?;
        size = stage.window().output(0, size)?;
        let work = Work::Kpu { layer, eight_bit: true, batches: 1 };
        Some(sum + work.milliseconds(Clocks::USUAL))
    })
}

/// What adding up bytes takes, and bringing the means to the KPU.
fn on_cpu(channels: usize, size: usize) -> f64 {
    let work = [Work::ByteMacs((channels * size * size) as u64), Work::Simple(channels as u64)];
    work.iter().map(|work| work.milliseconds(Clocks::USUAL)).sum()
}

fn replace(graph: &mut Graph, at: usize, stages: Vec<Stage>) {
    let Node { name, inputs, output, .. } = graph.nodes.remove(at);
    let &[_, channels, mut size, _] = graph.shape(inputs[0]) else { unreachable!("whole_mean") };
    let mut range = graph.tensors[inputs[0]].range.map(|(low, high)| (low.min(0.0), high.max(0.0)));
    let (mut last, mut place) = (inputs[0], at);
    let mut push = |graph: &mut Graph, name: &str, op, shape, range| {
        let output = graph.tensor(name, shape);
        graph.tensors[output].range = range;
        graph.nodes.insert(place, Node { name: name.into(), op, inputs: vec![last], output });
        (last, place) = (output, place + 1);
    };
    // The gain of an axis that is left for the last stage.
    let mut gain = 1.0 / size as f32;
    for (i, stage) in stages.iter().enumerate() {
        let window = stage.window();
        size = window.output(0, size).expect("a stage that leaves pixels");
        let is_last = i + 1 == stages.len();
        let own = if is_last { gain } else { 1.0 / stage.taps.iter().sum::<f32>() };
        gain /= own;
        let taps = stage.taps.map(|tap| tap * own);
        let kernel: Vec<f32> = taps.iter().flat_map(|y| taps.map(|x| x * y)).collect();
        let signed = |keep: fn(&f32) -> bool| kernel.iter().copied().filter(keep).sum::<f32>();
        let (plus, minus) = (signed(|&tap| tap > 0.0), signed(|&tap| tap < 0.0));
        range = range.map(|(low, high)| (plus * low + minus * high, plus * high + minus * low));
        let weights = kernel.repeat(channels);
        let conv = Conv2d { weights, bias: vec![0.0; channels], groups: channels, window };
        let name = format!("{name} {} of {}", i + 1, stages.len());
        push(graph, &name, Op::Conv2d(conv), vec![1, channels, size, size], range);
    }
    if size > 1 {
        let cut = Op::Slice { begin: vec![0; 4], strides: vec![1; 4] };
        push(graph, &format!("{name} pixel"), cut, vec![1, channels, 1, 1], range);
    }
    graph.nodes.insert(place, Node { name, op: Op::Reshape, inputs: vec![last], output });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;

    /// The stages of every size give the mean of random numbers, in floats.
    #[test]
    fn all_pixels_weigh_alike() {
        let mut seen = 0;
        for size in 2..=32 {
            let Some(stages) = stages(size) else { continue };
            let mut graph = Graph::default();
            let x = graph.tensor("x", vec![1, 3, size, size]);
            graph.inputs.push(x);
            let mean = Op::Reduce { op: ReduceOp::Mean, axes: vec![2, 3] };
            let y = graph.push("mean", mean, vec![x], vec![1, 3]);
            graph.outputs.push(y);
            let values: Vec<f32> =
                (0..3 * size * size).map(|i| (i * 2_654_435 % 1000) as f32 / 1000.0).collect();
            let expected = eval::run(&graph, &[&values], &mut |_, _| {});
            replace(&mut graph, 0, stages);
            let found = eval::run(&graph, &[&values], &mut |_, _| {});
            for (found, expected) in found[0].iter().zip(expected[0].iter()) {
                assert!((found - expected).abs() < 1e-5, "{size}: {found} {expected}");
            }
            seen += 1;
        }
        assert_eq!(seen, 13);
    }
}
