//! Cross-layer equalization: between two convolutions a channel may be larger by any factor, if the
//! second one divides by it. The channels of a tensor share one scale, so those with a small range
//! are enlarged before they are quantized.

use crate::{
    calibrate::Stats,
    graph::{Conv2d, Graph, Op, TensorId},
};

/// The most that a channel is enlarged by.
const LARGEST_FACTOR: f32 = 64.0;

/// How far the values of a channel may leave those that calibration saw before relu6 cuts them off where
/// it did not before, as a share of the range that calibration saw.
const HEADROOM: f32 = 0.5;

/// Enlarges small channels and keeps the statistics true.
pub fn equalize(graph: &mut Graph, stats: &mut [Stats]) {
    for second in 0..graph.nodes.len() {
        let Some(Pair { first, tensors, ceiling }) = pair(graph, second) else { continue };
        let &last = tensors.last().expect("at least the first convolution's result");
        if tensors.iter().any(|&t| graph.tensors[t].range.is_some()) {
            continue;
        }
        let reach: Vec<f32> = stats[last]
            .channel_ranges
            .iter()
            .map(|(low, high)| low.abs().max(high.abs()))
            .collect();
        let Op::Conv2d(consumer) = &graph.nodes[second].op else { continue };
        if reach.is_empty() {
            continue;
        }
        let most: Vec<f32> = stats[tensors[0]]
            .channel_ranges
            .iter()
            .map(|(low, high)| ceiling / (high + HEADROOM * (high - low)).max(f32::MIN_POSITIVE))
            .collect();
        let factors = factors(&reach, &most, consumer);
        if let Op::Conv2d(producer) = &mut graph.nodes[first].op {
            let row = producer.weights.len() / producer.bias.len();
            for ((weights, bias), &f) in
                producer.weights.chunks_exact_mut(row).zip(&mut producer.bias).zip(&factors)
            {
                weights.iter_mut().for_each(|w| *w *= f);
                *bias *= f;
            }
        }
        if let Op::Conv2d(consumer) = &mut graph.nodes[second].op {
            for_each_input(consumer, |weight, channel| *weight /= factors[channel]);
        }
        for &t in &tensors {
            stats[t].scale(&factors);
        }
    }
}

/// Two convolutions with nothing between them but functions that commute with a factor, below a ceiling.
struct Pair {
    /// Node of the first one.
    first: usize,
    /// The tensors between, which nobody else reads.
    tensors: Vec<TensorId>,
    /// The least value that is cut off.
    ceiling: f32,
}

/// The pair that ends with node `second`.
fn pair(graph: &Graph, second: usize) -> Option<Pair> {
    let Op::Conv2d(_) = graph.nodes[second].op else { return None };
    let mut tensors = vec![graph.nodes[second].inputs[0]];
    let mut ceiling = f32::INFINITY;
    loop {
        let t = tensors[0];
        if graph.readers(t) != 1 {
            return None;
        }
        let producer = graph.producer(t)?;
        match &graph.nodes[producer].op {
            Op::Conv2d(_) => return Some(Pair { first: producer, tensors, ceiling }),
            Op::PRelu { .. } => {}
            Op::Map(f) if f.is_homogeneous() => {}
            Op::Map(f) => match f.as_clamp()? {
                (0.0, high) => ceiling = ceiling.min(high),
                _ => return None,
            },
            _ => return None,
        }
        tensors.insert(0, graph.nodes[producer].inputs[0]);
    }
}

/// A factor of at least 1 and not beyond `most` for each channel.
///
/// A depthwise consumer has a scale for each channel, so its weights lose nothing. In a dense one
/// the weights of an enlarged channel become small beside the others: the factor is the geometric
/// mean of what the range and what the weights ask for.
fn factors(reach: &[f32], most: &[f32], consumer: &Conv2d) -> Vec<f32> {
    let largest = reach.iter().copied().fold(0f32, f32::max);
    let mut weights = vec![0f32; reach.len()];
    let mut copy = consumer.clone();
    for_each_input(&mut copy, |w, c| weights[c] = weights[c].max(w.abs()));
    let heaviest = weights.iter().copied().fold(0f32, f32::max);
    let depthwise = consumer.groups == reach.len();
    reach
        .iter()
        .zip(&weights)
        .zip(most)
        .map(|((&r, &w), &most)| {
            if r <= 0.0 || !r.is_finite() {
                return 1.0;
            }
            let wanted = (largest / r).min(most);
            let factor = if depthwise {
                wanted
            } else {
                (wanted * w / heaviest.max(f32::MIN_POSITIVE)).sqrt()
            };
            factor.clamp(1.0, LARGEST_FACTOR.min(wanted.max(1.0)))
        })
        .collect()
}

/// Calls `f` with each weight and its input channel.
fn for_each_input(conv: &mut Conv2d, mut f: impl FnMut(&mut f32, usize)) {
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    let in_group = conv.weights.len() / conv.bias.len() / taps;
    let out_group = conv.bias.len() / conv.groups;
    for (i, w) in conv.weights.iter_mut().enumerate() {
        let (out, channel) = (i / (in_group * taps), i / taps % in_group);
        f(w, out / out_group * in_group + channel);
    }
}

impl Stats {
    /// What is known after every channel is multiplied by its factor.
    fn scale(&mut self, factors: &[f32]) {
        let whole = |stats: &Self| {
            stats.channel_ranges.iter().copied().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
        };
        let clipped = whole(self) != self.range;
        for (i, &f) in factors.iter().enumerate() {
            if let Some((low, high)) = self.channel_ranges.get_mut(i) {
                (*low, *high) = (*low * f, *high * f);
            }
            if let Some(mean) = self.channel_means.get_mut(i) {
                *mean *= f;
            }
        }
        // The largest channel stays as it is, and with it a range that calibration has narrowed.
        if !clipped {
            self.range = whole(self);
        }
    }
}
