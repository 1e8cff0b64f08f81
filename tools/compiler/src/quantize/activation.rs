//! Any function of one number as the KPU's table of 16 straight pieces.

use maix_kpu::kpu::arithmetic::{Activation, Rounding, SEGMENTS, Segment};

use super::fixed_point;

/// The largest right shift that a piece uses; nncase's own tables do not go further.
const MAX_SHIFT: u32 = 20;
/// Points at which the function is looked at.
const SAMPLES: usize = 1024;
/// Points at which a piece may begin, beside the kinks.
const CANDIDATES: usize = 96;
/// The value that the first piece begins at: below all that can occur.
const LOWEST: i64 = -(1 << 35);

/// The table for `target`, which gives the wished byte (as a real number, before clamping) for each
/// value in `low..=high` that leaves the batch norm.
///
/// Where the pieces begin is chosen by dynamic programming for the least sum of squared errors.
/// The first piece is flat, since it begins at the lowest number there is.
pub fn fit(low: i64, high: i64, target: impl Fn(i64) -> f64) -> Activation {
    let curve = Curve::sample(low, high.max(low + SAMPLES as i64), target);
    let starts = curve.best_starts();
    let mut table = Activation::default();
    let first = curve.bytes[0].round() as u8;
    table.segments[0] = Segment { start: LOWEST, mul: 0, shift: 0, bias: first };
    for (i, segment) in table.segments.iter_mut().enumerate().skip(1) {
        let from = starts.get(i - 1);
        *segment = match from {
            Some(&from) => {
                let to = starts.get(i).copied().unwrap_or(SAMPLES);
                curve.refined(from, to)
            }
            // Unused pieces begin where no value gets to.
            None => Segment { start: -LOWEST - 1, mul: 0, shift: 0, bias: 0 },
        };
    }
    table
}

/// The function at equally spaced points, with sums from the first point on.
struct Curve {
    values: Vec<i64>,
    bytes: Vec<f64>,
    /// Sums of x, x^2, t, x t, t^2 before each point; x is counted in steps from the first point.
    sums: Vec<[f64; 5]>,
    /// Values from point to point.
    step: f64,
}

impl Curve {
    fn sample(low: i64, high: i64, target: impl Fn(i64) -> f64) -> Self {
        let mut values: Vec<i64> = (0..SAMPLES)
            .map(|i| low + (i128::from(high - low) * i as i128 / (SAMPLES as i128 - 1)) as i64)
            .collect();
        // Many activations have their kink at 0: let a point fall on it.
        if low < 0 && high > 0 {
            let nearest = values.iter_mut().min_by_key(|v| v.abs()).expect("not empty");
            *nearest = 0;
        }
        let bytes: Vec<f64> = values.iter().map(|&v| target(v).clamp(0.0, 255.0)).collect();
        let step = (high - low) as f64 / (SAMPLES - 1) as f64;
        let mut sums = vec![[0.0; 5]];
        for (&v, &t) in values.iter().zip(&bytes) {
            let x = (v - low) as f64 / step;
            let last = sums[sums.len() - 1];
            let terms = [x, x * x, t, x * t, t * t];
            sums.push(std::array::from_fn(|i| last[i] + terms[i]));
        }
        Self { values, bytes, sums, step }
    }

    /// The piece over points `from..to` and its squared error.
    fn piece(&self, from: usize, to: usize) -> (Segment, f64) {
        let [sx, sxx, st, sxt, stt] =
            std::array::from_fn(|i| self.sums[to][i] - self.sums[from][i]);
        let n = (to - from) as f64;
        let x0 = (self.values[from] - self.values[0]) as f64 / self.step;
        let bias = self.bytes[from].round();
        // With d = x - x0 and e = t - bias: slope = sum(d e) / sum(d d).
        let dd = sxx - 2.0 * x0 * sx + n * x0 * x0;
        let de = sxt - bias * sx - x0 * st + n * x0 * bias;
        let ee = stt - 2.0 * bias * st + n * bias * bias;
        let slope = if dd > 0.0 { de / dd } else { 0.0 };
        let (mul, shift) = fixed_point(slope / self.step, 15, MAX_SHIFT);
        let slope = f64::from(mul) / f64::from(1u32 << shift) * self.step;
        let error = ee - 2.0 * slope * de + slope * slope * dd;
        let segment = Segment {
            start: self.values[from],
            mul: mul as i16,
            shift: shift as u8,
            bias: bias as u8,
        };
        (segment, error.max(0.0))
    }

    /// The piece with the bias that gives the least error in the KPU's own arithmetic.
    fn refined(&self, from: usize, to: usize) -> Segment {
        let (segment, _) = self.piece(from, to);
        let error = |segment: &Segment| -> f64 {
            (from..to)
                .map(|i| {
                    f64::from(segment.apply(self.values[i], Rounding::default())) - self.bytes[i]
                })
                .map(|e| e * e)
                .sum()
        };
        [0i16, 1, -1]
            .into_iter()
            .filter_map(|d| u8::try_from(i16::from(segment.bias) + d).ok())
            .map(|bias| Segment { bias, ..segment })
            .min_by(|a, b| error(a).total_cmp(&error(b)))
            .unwrap_or(segment)
    }

    /// Points at which a piece may begin: of each stretch the one whose byte is nearest to a whole
    /// number, and the kinks.
    fn candidates(&self) -> Vec<usize> {
        let stretch = SAMPLES.div_ceil(CANDIDATES);
        let off = |i: usize| (self.bytes[i] - self.bytes[i].round()).abs();
        let mut points: Vec<usize> = (0..SAMPLES)
            .step_by(stretch)
            .filter_map(|s| {
                (s..(s + stretch).min(SAMPLES)).min_by(|&a, &b| off(a).total_cmp(&off(b)))
            })
            .collect();
        let bend = |i: usize| (self.bytes[i + 1] - 2.0 * self.bytes[i] + self.bytes[i - 1]).abs();
        let mut kinks: Vec<usize> = (1..SAMPLES - 1).filter(|&i| bend(i) > 1e-3).collect();
        kinks.sort_by(|&a, &b| bend(b).total_cmp(&bend(a)).then(a.cmp(&b)));
        points.extend(kinks.into_iter().take(SEGMENTS));
        points.push(0);
        points.sort_unstable();
        points.dedup();
        points
    }

    /// The starts of at most 15 pieces with the least squared error together.
    fn best_starts(&self) -> Vec<usize> {
        let points = self.candidates();
        let n = points.len();
        let end = |j: usize| points.get(j).copied().unwrap_or(SAMPLES);
        // best[k][j]: the least error of points before j with k pieces, and where the last begins.
        let mut best = vec![vec![(f64::INFINITY, 0); n + 1]; SEGMENTS];
        best[0][0] = (0.0, 0);
        let errors: Vec<Vec<f64>> = (0..n)
            .map(|i| (i + 1..=n).map(|j| self.piece(points[i], end(j)).1).collect())
            .collect();
        for k in 1..SEGMENTS {
            for j in 1..=n {
                for i in 0..j {
                    let error = best[k - 1][i].0 + errors[i][j - i - 1];
                    if error < best[k][j].0 {
                        best[k][j] = (error, i);
                    }
                }
            }
        }
        // The fewest pieces that are as good as any.
        let least = best.iter().map(|b| b[n].0).fold(f64::INFINITY, f64::min);
        let k =
            (1..SEGMENTS).find(|&k| best[k][n].0 <= least * 1.0001 + 1e-6).unwrap_or(SEGMENTS - 1);
        let mut starts = Vec::new();
        let mut j = n;
        for k in (1..=k).rev() {
            j = best[k][j].1;
            starts.push(points[j]);
        }
        starts.reverse();
        starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{expr::Expr, quantize::QParam};

    /// The largest and the mean distance to the wished bytes.
    fn errors(f: &Expr, range: f32) -> (f64, f64) {
        let scale = f64::from(range) / f64::from(1 << 19);
        let samples: Vec<f32> =
            (0..=2000).map(|i| f.eval((i as f32 / 1000.0 - 1.0) * range)).collect();
        let (low, high) = samples.iter().fold((0f32, 0f32), |(l, h), &y| (l.min(y), h.max(y)));
        let q = QParam::cover(low, high);
        let target = |v: i64| f64::from(f.eval((v as f64 * scale) as f32) / q.scale + q.zero);
        let table = fit(-(1 << 19), 1 << 19, target);
        let distances: Vec<f64> = (-(1i64 << 19)..1 << 19)
            .step_by(97)
            .map(|v| (f64::from(table.apply(v, Rounding::default())) - target(v)).abs())
            .collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        (distances.into_iter().fold(0.0, f64::max), mean)
    }

    #[test]
    fn every_activation_fits_within_two_bytes() {
        for (name, f, range) in [
            ("identity", Expr::X, 3.0),
            ("relu", Expr::relu(), 7.0),
            ("relu6", Expr::clamp(0.0, 6.0), 20.0),
            ("leaky", Expr::leaky_relu(0.1), 5.0),
            ("sigmoid", Expr::sigmoid(), 8.0),
            ("tanh", Expr::tanh(), 4.0),
            ("hard swish", Expr::hard_swish(), 6.0),
            ("swish", Expr::X.times(Expr::sigmoid()), 6.0),
            ("elu", Expr::elu(1.0, 1.0), 4.0),
            ("softplus", Expr::softplus(), 5.0),
        ] {
            let (largest, mean) = errors(&f, range);
            assert!(largest < 2.0 && mean < 0.45, "{name}: largest {largest}, mean {mean}");
        }
    }
}
