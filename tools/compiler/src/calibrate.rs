//! What values each tensor takes: the float model runs on the calibration data.

use rayon::prelude::*;

use crate::{
    dataset::{Dataset, Loaded, Sample},
    eval,
    graph::{Graph, TensorId},
    options::CalibrateMethod,
    problem::Problem,
};

/// Bins of a histogram.
const BINS: usize = 2048;
/// Files that are in memory at once.
const BATCH: usize = 16;
/// Samples that are kept for measuring the compiled model.
const KEPT: usize = 4;

/// What is known of a tensor's values.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Smallest and largest value, outliers cut off if the method says so.
    pub range: Option<(f32, f32)>,
    /// Smallest and largest value of each channel (axis 1 of rank 4, else the last axis).
    pub channel_ranges: Vec<(f32, f32)>,
    /// Mean of each channel.
    pub channel_means: Vec<f32>,
}

/// What calibration found.
pub struct Calibration {
    /// For each tensor of the graph.
    pub stats: Vec<Stats>,
    /// A few of the samples.
    pub samples: Vec<Sample>,
    /// Samples that were used.
    pub used: usize,
    /// Files that were not.
    pub skipped: Vec<String>,
}

impl Calibration {
    /// Before any data is seen.
    pub fn none(graph: &Graph) -> Self {
        Self {
            stats: vec![Stats::default(); graph.tensors.len()],
            samples: Vec::new(),
            used: 0,
            skipped: Vec::new(),
        }
    }
}

/// Samples to measure a float kmodel with, which needs no ranges.
pub fn samples(graph: &Graph, dataset: &Dataset<'_>) -> Result<Calibration, Vec<Problem>> {
    let mut calibration = Calibration::none(graph);
    let mut problems = Vec::new();
    for loaded in dataset.load(0, KEPT.min(dataset.len())) {
        match loaded {
            Ok(Loaded::Sample(sample)) => calibration.samples.push(sample),
            Ok(Loaded::Skipped(why)) => calibration.skipped.push(why),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(calibration) } else { Err(problems) }
}

/// Sums over one sample.
struct Seen {
    low: Vec<f32>,
    high: Vec<f32>,
    sum: Vec<f64>,
    count: u64,
}

/// Channels of a tensor, and the elements from one channel to the next and in one channel.
fn channels(shape: &[usize]) -> (usize, usize) {
    match *shape {
        [_, c, h, w] => (c, h * w),
        [.., last] => (last, 1),
        [] => (1, 1),
    }
}

fn look(x: &[f32], shape: &[usize]) -> Seen {
    let (count, inner) = channels(shape);
    let mut seen = Seen {
        low: vec![f32::INFINITY; count],
        high: vec![f32::NEG_INFINITY; count],
        sum: vec![0.0; count],
        count: (x.len() / count) as u64,
    };
    for (i, plane) in x.chunks_exact(inner).enumerate() {
        let c = i % count;
        let (mut low, mut high, mut sum) = ([f32::INFINITY; 8], [f32::NEG_INFINITY; 8], [0f32; 8]);
        let (chunks, rest) = plane.as_chunks::<8>();
        for chunk in chunks {
            for lane in 0..8 {
                low[lane] = low[lane].min(chunk[lane]);
                high[lane] = high[lane].max(chunk[lane]);
                sum[lane] += chunk[lane];
            }
        }
        for (lane, &v) in rest.iter().enumerate() {
            low[lane] = low[lane].min(v);
            high[lane] = high[lane].max(v);
            sum[lane] += v;
        }
        seen.low[c] = low.into_iter().fold(seen.low[c], f32::min);
        seen.high[c] = high.into_iter().fold(seen.high[c], f32::max);
        seen.sum[c] += sum.into_iter().map(f64::from).sum::<f64>();
    }
    seen
}

/// Runs the graph on the whole data set.
///
/// `progress` hears how many of how many files are done.
pub fn calibrate(
    graph: &Graph,
    dataset: &Dataset<'_>,
    method: CalibrateMethod,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Calibration, Vec<Problem>> {
    let rounds = if method == CalibrateMethod::NoClip { 1 } else { 2 };
    let total = dataset.len() * rounds;
    let mut merged: Vec<Option<Seen>> = graph.tensors.iter().map(|_| None).collect();
    let (mut samples, mut used, mut skipped, mut problems) =
        (Vec::new(), 0, Vec::new(), Vec::new());
    for_each_batch(dataset, |at, batch| {
        let mut good = Vec::new();
        for loaded in batch {
            match loaded {
                Ok(Loaded::Sample(sample)) => good.push(sample),
                Ok(Loaded::Skipped(why)) => skipped.push(why),
                Err(problem) => problems.push(problem),
            }
        }
        used += good.len();
        let seen: Vec<Vec<(TensorId, Seen)>> = good
            .par_iter()
            .map(|s| {
                let mut seen = Vec::new();
                run(graph, s, &mut |id, x| seen.push((id, look(x, graph.shape(id)))));
                seen
            })
            .collect();
        for (id, seen) in seen.into_iter().flatten() {
            match &mut merged[id] {
                Some(before) => before.merge(&seen),
                none => *none = Some(seen),
            }
        }
        samples.extend(good.into_iter().take(KEPT.saturating_sub(samples.len())));
        progress(at, total);
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    if used == 0 {
        return Err(vec![Problem::general(
            "the calibration data",
            format!("no file can be used: {}", skipped.join("; ")),
            "give typical inputs of the model, such as pictures from the training set",
        )]);
    }
    let mut stats: Vec<Stats> =
        merged.into_iter().map(|seen| seen.map_or_else(Stats::default, |s| s.stats())).collect();
    if method != CalibrateMethod::NoClip {
        clip(graph, dataset, method, &mut stats, &mut |at| progress(dataset.len() + at, total));
    }
    Ok(Calibration { stats, samples, used, skipped })
}

fn for_each_batch(dataset: &Dataset<'_>, mut f: impl FnMut(usize, Vec<Result<Loaded, Problem>>)) {
    for from in (0..dataset.len()).step_by(BATCH) {
        let to = (from + BATCH).min(dataset.len());
        f(to, dataset.load(from, to));
    }
}

fn run(graph: &Graph, sample: &Sample, visit: &mut dyn FnMut(TensorId, &[f32])) {
    let inputs: Vec<&[f32]> = sample.iter().map(Vec::as_slice).collect();
    eval::run(graph, &inputs, visit);
}

impl Seen {
    fn merge(&mut self, other: &Self) {
        for c in 0..self.low.len() {
            self.low[c] = self.low[c].min(other.low[c]);
            self.high[c] = self.high[c].max(other.high[c]);
            self.sum[c] += other.sum[c];
        }
        self.count += other.count;
    }

    fn stats(self) -> Stats {
        let low = self.low.iter().copied().fold(f32::INFINITY, f32::min);
        let high = self.high.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Stats {
            range: Some((low, high)),
            channel_ranges: self.low.into_iter().zip(self.high).collect(),
            channel_means: self.sum.iter().map(|s| (s / self.count as f64) as f32).collect(),
        }
    }
}

/// Narrows ranges by a second look at the data.
fn clip(
    graph: &Graph,
    dataset: &Dataset<'_>,
    method: CalibrateMethod,
    stats: &mut [Stats],
    progress: &mut dyn FnMut(usize),
) {
    let mut histograms: Vec<Vec<u64>> = vec![Vec::new(); graph.tensors.len()];
    for_each_batch(dataset, |at, batch| {
        let good: Vec<Sample> = batch
            .into_iter()
            .filter_map(|l| if let Ok(Loaded::Sample(s)) = l { Some(s) } else { None })
            .collect();
        let counted: Vec<Vec<(TensorId, Vec<u64>)>> = good
            .par_iter()
            .map(|s| {
                let mut counted = Vec::new();
                run(graph, s, &mut |id, x| {
                    let (low, high) = stats[id].range.expect("seen in the first round");
                    let factor = BINS as f32 / (high - low).max(f32::MIN_POSITIVE);
                    let mut bins = vec![0u64; BINS];
                    x.iter().for_each(|v| bins[(((v - low) * factor) as usize).min(BINS - 1)] += 1);
                    counted.push((id, bins));
                });
                counted
            })
            .collect();
        for (id, bins) in counted.into_iter().flatten() {
            if histograms[id].is_empty() {
                histograms[id] = bins;
            } else {
                histograms[id].iter_mut().zip(bins).for_each(|(a, b)| *a += b);
            }
        }
        progress(at);
    });
    for (stats, bins) in stats.iter_mut().zip(&histograms) {
        let Some((low, high)) = stats.range else { continue };
        if bins.is_empty() || high <= low {
            continue;
        }
        let width = (high - low) / BINS as f32;
        let (first, end) = best_bins(bins, method, (-low / width).clamp(0.0, BINS as f32) as usize);
        stats.range = Some((low + first as f32 * width, low + end as f32 * width));
    }
}

/// The bins that a range should span; `zero` is the bin of 0, which stays inside.
fn best_bins(bins: &[u64], method: CalibrateMethod, zero: usize) -> (usize, usize) {
    let cost = |first: usize, end: usize| match method {
        CalibrateMethod::NoClip => 0.0,
        CalibrateMethod::L2 => squared_error(bins, first, end),
        CalibrateMethod::Kld => divergence(bins, first, end),
    };
    let steps = 64;
    let (mut first, mut end) = (0, bins.len());
    let ends = (0..steps)
        .map(|i| bins.len() - (bins.len() - zero) * i / (steps + steps / 4))
        .filter(|&e| e > 0);
    end = ends.min_by(|&a, &b| cost(first, a).total_cmp(&cost(first, b))).unwrap_or(end);
    let firsts = (0..steps).map(|i| zero.min(end - 1) * i / (steps + steps / 4));
    first = firsts.min_by(|&a, &b| cost(a, end).total_cmp(&cost(b, end))).unwrap_or(first);
    (first, end)
}

/// Squared error of 256 steps over the bins `first..end`, in bins.
fn squared_error(bins: &[u64], first: usize, end: usize) -> f64 {
    let step = (end - first) as f64 / 255.0;
    let inside = step * step / 12.0;
    bins.iter()
        .enumerate()
        .map(|(i, &n)| {
            let beyond = first.saturating_sub(i).max((i + 1).saturating_sub(end)) as f64;
            n as f64 * if beyond > 0.0 { beyond * beyond } else { inside }
        })
        .sum()
}

/// Kullback-Leibler divergence of the clipped histogram from its version of 256 steps.
fn divergence(bins: &[u64], first: usize, end: usize) -> f64 {
    let mut clipped: Vec<f64> = bins[first..end].iter().map(|&n| n as f64).collect();
    let inside = clipped.clone();
    let last = clipped.len() - 1;
    clipped[0] += bins[..first].iter().sum::<u64>() as f64;
    clipped[last] += bins[end..].iter().sum::<u64>() as f64;
    let total: f64 = clipped.iter().sum();
    let steps = 256.min(inside.len());
    let mut result = 0.0;
    for step in 0..steps {
        let (from, to) = (step * inside.len() / steps, (step + 1) * inside.len() / steps);
        let filled = clipped[from..to].iter().filter(|&&n| n > 0.0).count();
        let mean = inside[from..to].iter().sum::<f64>() / filled.max(1) as f64;
        for &p in clipped[from..to].iter().filter(|&&p| p > 0.0) {
            result += p / total * (p / mean.max(1e-9)).ln();
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_outlier_is_cut_off() {
        let mut bins: Vec<u64> =
            (0..BINS).map(|i| (1e6 * (-(i as f64) / 100.0).exp()) as u64).collect();
        bins[BINS - 1] = 1;
        for method in [CalibrateMethod::L2, CalibrateMethod::Kld] {
            let (first, end) = best_bins(&bins, method, 0);
            assert!(first == 0 && (400..1600).contains(&end), "{method:?} {first} {end}");
        }
    }

    #[test]
    fn channels_are_told_apart() {
        let stats = look(&[1.0, 2.0, 3.0, -4.0], &[1, 2, 1, 2]).stats();
        assert_eq!(stats.channel_ranges, [(1.0, 2.0), (-4.0, 3.0)]);
        assert_eq!(stats.channel_means, [1.5, -0.5]);
        assert_eq!(stats.range, Some((-4.0, 3.0)));
    }
}
