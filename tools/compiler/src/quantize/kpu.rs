//! The parameters of a KPU layer: weights with a scale of their own for each output channel.
//!
//! The KPU has one weight zero point a layer and one multiplier a channel. Weights are therefore
//! symmetric around 128, and the channel's scale goes into its batch norm.

use maix_kpu::kpu::arithmetic::{Activation, BatchNorm};

use super::{QParam, activation, fixed_point};
use crate::expr::Expr;

/// Byte of a weight of 0.
pub const WEIGHT_ZERO: i32 = 128;
/// Largest distance of a weight's byte from it.
const WEIGHT_LIMIT: f32 = 127.0;
/// The batch norm gives values of about this many bits, sign aside.
const VALUE_BITS: u32 = 19;
/// Rows of no more weights are searched for a scale at which all of them are nearly whole.
const FEW: usize = 2;
/// How much further than calibrated a value may go before the table is only extrapolated.
const MARGIN: f32 = 1.25;

/// A convolution in real numbers.
pub struct Convolution<'c> {
    /// One row of taps for each output channel.
    pub weights: &'c [f32],
    /// One number for each output channel.
    pub bias: &'c [f32],
    /// Mean of the real input that each tap of a row sees, per output channel's row; empty if not
    /// known. Used to correct the bias for the rounding of weights.
    pub input_means: &'c dyn Fn(usize, usize) -> f32,
    /// The real difference between neighbouring bytes of the input.
    pub input_scale: f32,
    /// The input's byte for 0 that each tap of a channel's row sees.
    pub input_zero: &'c dyn Fn(usize, usize) -> f32,
    /// What follows the convolution.
    pub function: &'c Expr,
    /// Smallest and largest value before `function`.
    pub range: (f32, f32),
    /// What the output's bytes stand for.
    pub output: QParam,
    /// Added to the output before it is rounded, in bytes: what a mean pool behind rounds off.
    pub output_offset: f32,
}

/// The parameters as the KPU takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// One byte a tap.
    pub weights: Vec<u8>,
    /// One batch norm a channel.
    pub batch_norm: Vec<BatchNorm>,
    /// The table.
    pub activation: Activation,
}

impl Convolution<'_> {
    /// The parameters for which the KPU comes nearest to the real convolution.
    pub fn quantize(&self) -> Parameters {
        let row = self.weights.len() / self.bias.len();
        let span = self.range.0.abs().max(self.range.1.abs()).max(f32::MIN_POSITIVE) * MARGIN;
        let unit = f64::from(span) / f64::from(1u32 << VALUE_BITS);
        let mut weights = Vec::with_capacity(self.weights.len());
        let mut batch_norm = Vec::with_capacity(self.bias.len());
        for (channel, (taps, &bias)) in self.weights.chunks_exact(row).zip(self.bias).enumerate() {
            let scale = best_scale(taps);
            let mut zero = 0.0f64;
            let mut shift_of_mean = 0.0f64;
            for (tap, &w) in taps.iter().enumerate() {
                let q = (w / scale).round().clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT);
                zero += f64::from(q) * f64::from((self.input_zero)(channel, tap));
                shift_of_mean += f64::from((q * scale - w) * (self.input_means)(channel, tap));
                weights.push((q as i32 + WEIGHT_ZERO) as u8);
            }
            let factor = f64::from(self.input_scale) * f64::from(scale) / unit;
            let (mul, shift) = fixed_point(factor, 23, 15);
            let real = (f64::from(bias) - shift_of_mean) / unit;
            // The KPU sums bytes as they are; what the input's zero point adds is taken off here.
            let zero = zero * f64::from(mul) / f64::from(1u32 << shift);
            // The shift rounds down: half a unit on average.
            let add = (real - zero + 0.5).round().clamp(f64::from(i32::MIN), f64::from(i32::MAX));
            batch_norm.push(BatchNorm { mul, shift, add: add as i32 });
        }
        let end = |real: f32| (f64::from(real) * f64::from(MARGIN) / unit) as i64;
        let (low, high) = (end(self.range.0.min(0.0)), end(self.range.1.max(0.0)));
        let target = |v: i64| {
            let y = self.function.eval((v as f64 * unit) as f32);
            f64::from(y) / f64::from(self.output.scale)
                + f64::from(self.output.zero)
                + f64::from(self.output_offset)
        };
        Parameters { weights, batch_norm, activation: activation::fit(low, high, target) }
    }
}

/// The scale of a row of weights with the least squared rounding error.
fn best_scale(taps: &[f32]) -> f32 {
    // Zeros are exact with any scale.
    let taps: Vec<f32> = taps.iter().copied().filter(|w| w.abs() >= f32::MIN_POSITIVE).collect();
    let Some(largest) = taps.iter().map(|w| w.abs()).reduce(f32::max) else { return 1.0 };
    let error = |scale: f32| -> f64 {
        taps.iter()
            .map(|w| {
                let q = (w / scale).round().clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT);
                f64::from(w - q * scale).powi(2)
            })
            .sum()
    };
    // A slightly smaller scale may round better than it clips; with few weights there is a scale at
    // which all of them are nearly whole.
    let clipping = (0..16).map(|i| largest / WEIGHT_LIMIT * (1.0 - i as f32 * 0.01));
    let whole = (64..127).map(|n| largest / n as f32).filter(|_| taps.len() <= FEW);
    clipping.chain(whole).min_by(|&a, &b| error(a).total_cmp(&error(b))).expect("not empty")
}

#[cfg(test)]
mod tests {
    use maix_kpu::kpu::arithmetic::Rounding;
    use proptest::prelude::*;

    use super::*;

    /// What the KPU makes of one row of input bytes.
    fn byte(parameters: &Parameters, inputs: &[u8]) -> u8 {
        let product = |(&x, &w): (&u8, &u8)| i64::from(x) * i64::from(i32::from(w) - WEIGHT_ZERO);
        let sum: i64 = inputs.iter().zip(&parameters.weights).map(product).sum();
        let bn = parameters.batch_norm[0];
        let value = ((sum * i64::from(bn.mul)) >> bn.shift) + i64::from(bn.add);
        parameters.activation.apply(value, Rounding::default())
    }

    proptest! {
        /// Two bytes with scales and zero points of their own, added by the KPU.
        #[test]
        fn a_sum_of_two_tensors_is_within_one_byte(
            scales in prop::array::uniform2(0.01f32..1.0),
            zeros in prop::array::uniform2(0u8..=255),
            bytes in prop::array::uniform2(0u8..=255),
        ) {
            let q = [0, 1].map(|i| QParam { scale: scales[i], zero: zeros[i].into() });
            let range = (q[0].range().0 + q[1].range().0, q[0].range().1 + q[1].range().1);
            let output = QParam::cover(range.0, range.1);
            let parameters = Convolution {
                weights: &scales,
                bias: &[0.0],
                input_means: &|_, _| 0.0,
                input_scale: 1.0,
                input_zero: &|_, tap| q[tap].zero,
                function: &Expr::X,
                range,
                output,
                output_offset: 0.0,
            }
            .quantize();
            let real: f32 = (0..2).map(|i| (f32::from(bytes[i]) - q[i].zero) * q[i].scale).sum();
            let (got, expected) = (byte(&parameters, &bytes), real / output.scale + output.zero);
            prop_assert!((f32::from(got) - expected).abs() <= 1.0, "{got} for {expected}");
        }

        /// The mean of nine bytes.
        #[test]
        fn a_mean_is_rounded_once(
            bytes in prop::array::uniform9(0u8..=255),
            zero in 0u8..=255,
        ) {
            let q = QParam { scale: 0.1, zero: zero.into() };
            let parameters = Convolution {
                weights: &[1.0 / 9.0; 9],
                bias: &[0.0],
                input_means: &|_, _| 0.0,
                input_scale: q.scale,
                input_zero: &|_, _| q.zero,
                function: &Expr::X,
                range: q.range(),
                output: q,
                output_offset: 0.0,
            }
            .quantize();
            let (got, sum) = (byte(&parameters, &bytes), bytes.iter().map(|&b| f32::from(b)).sum::<f32>());
            prop_assert!((f32::from(got) - sum / 9.0).abs() <= 0.65, "{got} for {}", sum / 9.0);
        }
    }
}
