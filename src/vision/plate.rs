//! The seven heads behind CanMV's licence plate model: fully connected, one per character.

use crate::{
    error::{Error, Kind, Result, What},
    math::fma,
};

/// Classes of each head: province, letter, five letters or digits.
pub const CLASSES: [usize; 7] = [31, 24, 34, 34, 34, 34, 34];

/// Scores of all heads together.
pub const SCORES: usize = {
    let mut sum = 0;
    let mut head = 0;
    while head < CLASSES.len() {
        sum += CLASSES[head];
        head += 1;
    }
    sum
};

/// Bytes of the weights that `features` output values of the model need.
///
/// The weights file holds, head after head, little-endian f32: `[class][feature]` weights, then one
/// bias per class. Each head looks at its own seventh of the features.
pub const fn weights_size(features: usize) -> usize {
    SCORES.saturating_mul(features / CLASSES.len() + 1).saturating_mul(4)
}

/// Computes the scores of every head from the model's output; [`heads`] takes them apart.
pub fn recognize(features: &[f32], weights: &[u8], scores: &mut [f32; SCORES]) -> Result<()> {
    let needed = weights_size(features.len());
    if !features.len().is_multiple_of(CLASSES.len()) || features.is_empty() {
        return Err(Error::about(Kind::PlateFeatures, What::Nothing, [features.len() as u64, 0]));
    }
    if weights.len() != needed {
        return Err(Error::about(
            Kind::PlateWeights,
            What::Nothing,
            [weights.len() as u64, needed as u64],
        ));
    }
    let part = features.len() / CLASSES.len();
    let (mut features, mut scores) = (features, scores.as_mut_slice());
    let mut values = weights.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value));
    for classes in CLASSES {
        let (Some((mine, others)), Some((head, rest))) = (
            features.split_at_checked(part),
            core::mem::take(&mut scores).split_at_mut_checked(classes),
        ) else {
            break;
        };
        for score in head.iter_mut() {
            *score = mine.iter().zip(&mut values).fold(0.0, |sum, (&x, w)| fma(x, w, sum));
        }
        head.iter_mut().zip(&mut values).for_each(|(score, bias)| *score += bias);
        (features, scores) = (others, rest);
    }
    Ok(())
}

/// The scores of each head, in the order of the plate's characters.
pub fn heads(scores: &[f32; SCORES]) -> impl Iterator<Item = &[f32]> {
    let mut rest = scores.as_slice();
    CLASSES.iter().map_while(move |&classes| {
        let (head, behind) = rest.split_at_checked(classes)?;
        rest = behind;
        Some(head)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{
        scores::argmax,
        testdata::{assert_close, bytes, floats},
    };
    use super::*;

    #[test]
    fn heads_by_hand() {
        // Two features a head: head h sees (h, 1); weight rows are (class, 10), bias 100.
        let features: Vec<f32> = (0..7).flat_map(|head| [head as f32, 1.0]).collect();
        let mut weights = Vec::new();
        for classes in CLASSES {
            for class in 0..classes {
                weights.extend([class as f32, 10.0].iter().flat_map(|v| v.to_le_bytes()));
            }
            weights.extend([100.0f32].repeat(classes).iter().flat_map(|v| v.to_le_bytes()));
        }
        assert_eq!(weights.len(), weights_size(features.len()));
        let mut scores = [0.0; SCORES];
        recognize(&features, &weights, &mut scores).unwrap();
        let mut seen = 0;
        for (head, (scores, classes)) in heads(&scores).zip(CLASSES).enumerate() {
            let expected: Vec<_> =
                (0..classes).map(|class| (class * head + 10 + 100) as f32).collect();
            assert_eq!(scores, expected);
            seen += 1;
        }
        assert_eq!(seen, 7);
    }

    #[test]
    fn wrong_sizes_are_named() {
        let mut scores = [0.0; SCORES];
        let error = recognize(&[0.0; 14], &[0; 8], &mut scores).unwrap_err();
        assert_eq!(error.to_string(), "the plate weights have 8 bytes, this model needs 2700");
        assert!(recognize(&[0.0; 15], &[0; 2700], &mut scores).is_err());
        assert!(recognize(&[], &[], &mut scores).is_err());
        assert_eq!(weights_size(11648), 1_498_500);
    }

    /// The real weights on the real features, against a sum in double precision.
    #[test]
    fn real_weights() {
        let Some(weights) = bytes("transcripts/inputs/lp_weight.bin") else { return };
        for case in ["natural", "xorshift", "zeros"] {
            let features = floats(&format!("golden/v3_lp_recog/output_{case}_0.bin")).unwrap();
            let mut scores = [0.0; SCORES];
            recognize(&features, &weights, &mut scores).unwrap();
            let values: Vec<f64> =
                weights.as_chunks().0.iter().map(|&v| f64::from(f32::from_le_bytes(v))).collect();
            let part = features.len() / 7;
            let mut begin = 0;
            for (ours, features) in heads(&scores).zip(features.chunks(part)) {
                let bias = begin + ours.len() * part;
                let expected: Vec<f32> = (0..ours.len())
                    .map(|class| {
                        let row = &values[begin + class * part..][..part];
                        let sum: f64 =
                            row.iter().zip(features).map(|(w, &x)| w * f64::from(x)).sum();
                        (sum + values[bias + class]) as f32
                    })
                    .collect();
                assert_close(ours, &expected);
                assert_eq!(argmax(ours), argmax(&expected));
                begin = bias + ours.len();
            }
            assert_eq!(begin, values.len());
        }
    }
}
