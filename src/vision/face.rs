//! Features of faces: their 8-bit code, their length, and how alike two of them are.

use crate::{
    error::{Error, Kind, Result, What},
    math::{fma, sqrt},
};

/// Codes a feature as MaixPy's `face_encode`: each value times 512, truncated, one signed byte.
///
/// -0.25 and below become -128, 0.25 and above 127. The original wrapped the upper end round to
/// -128, so that strong positive and strong negative values looked alike; all other codes are the
/// same, and stored features stay comparable.
pub fn encode(feature: &[f32], code: &mut [i8]) -> Result<()> {
    same_length(feature.len(), code.len())?;
    for (code, &value) in code.iter_mut().zip(feature) {
        *code = (value * 512.0) as i8;
    }
    Ok(())
}

/// How alike two codes are, as MaixPy's `face_compare`: 100 the same direction, 50 unrelated,
/// 0 opposite; NaN where one of them is all zero.
pub fn compare(a: &[i8], b: &[i8]) -> Result<f32> {
    same_length(a.len(), b.len())?;
    let length = sqrt(dot(a, a) * dot(b, b));
    Ok((dot(a, b) * 0.5 / length + 0.5) * 100.0)
}

fn dot(a: &[i8], b: &[i8]) -> f32 {
    a.iter().zip(b).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum::<i64>() as f32
}

/// Scales a feature to length 1, in place; one that is all zero stays so.
pub fn normalize(feature: &mut [f32]) {
    let length = sqrt(feature.iter().fold(0.0, |sum, &value| fma(value, value, sum)));
    if length > 0.0 {
        feature.iter_mut().for_each(|value| *value /= length);
    }
}

/// How alike two features of length 1 are, as CanMV's `feature_compare`: `(0.5 + 0.5 a.b) * 100`,
/// that is 0 to 100. Features of another length give other numbers: see [`normalize`].
pub fn similarity(a: &[f32], b: &[f32]) -> Result<f32> {
    same_length(a.len(), b.len())?;
    let dot = a.iter().zip(b).fold(0.0, |sum, (&a, &b)| fma(a, b, sum));
    Ok((0.5 + 0.5 * dot) * 100.0)
}

fn same_length(a: usize, b: usize) -> Result<()> {
    if a == b {
        return Ok(());
    }
    Err(Error::about(Kind::FeatureLength, What::OtherFeature, [a as u64, b as u64]))
}

#[cfg(test)]
mod tests {
    use super::super::testdata::{assert_close, transcript};
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn encoded(feature: &[f32]) -> Vec<i8> {
        let mut code = vec![0; feature.len()];
        encode(feature, &mut code).unwrap();
        code
    }

    #[test]
    fn codes_saturate_at_both_ends() {
        let feature = [-1.0, -0.25, -0.03, 0.0, 0.08, 0.2499, 0.25, 1e6, f32::NAN];
        assert_eq!(encoded(&feature), [-128, -128, -15, 0, 40, 127, 127, 127, 0]);
    }

    #[test]
    fn lengths_must_agree() {
        let error = compare(&[1, 2, 3], &[1, 2]).unwrap_err();
        assert_eq!(error.to_string(), "the feature has 3 values, the other feature 2");
        assert!(encode(&[0.0], &mut []).is_err());
        assert!(similarity(&[1.0], &[]).is_err());
    }

    #[test]
    fn known_angles() {
        assert_eq!(compare(&[127, 0], &[127, 0]), Ok(100.0));
        assert_eq!(compare(&[127, 0], &[0, 127]), Ok(50.0));
        assert_eq!(compare(&[127], &[-127]), Ok(0.0));
        assert!(compare(&[0, 0], &[1, 2]).unwrap().is_nan());
        assert_eq!(similarity(&[0.6, 0.8], &[0.8, 0.6]), Ok(98.0));
        assert_eq!(similarity(&[3.0, 4.0], &[3.0, 4.0]), Ok(1300.0));
    }

    #[test]
    fn normalized_to_length_one() {
        let mut feature = [3.0, -4.0];
        normalize(&mut feature);
        assert_eq!(feature, [0.6, -0.8]);
        let mut zero = [0.0; 2];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 2]);
    }

    /// Lines `NAME <class 'bytearray'> 8 [CODE, ...]`, then `NAME NAME SCORE` for each pair.
    #[test]
    fn as_recorded() {
        let Some(lines) = transcript("maixpy/face_encode") else { return };
        let features = HashMap::from([
            ("halves", std::array::from_fn(|k| 0.5 / 127.0 * (k + 1) as f32)),
            ("ramp", std::array::from_fn(|k| 0.1 * k as f32)),
            ("small", [0.01, 0.02, -0.03, 0.04, 0.05, -0.06, 0.07, 0.08]),
            ("tiny", [1e-6, 2e-6, -3e-6, 0.0, 1e-7, 0.0, 0.0, 0.0]),
            ("neg", [-1.0, -0.5, 0.0, 0.5, 1.0, 0.25, -0.25, 0.125]),
        ]);
        let mut codes = HashMap::new();
        let (mut encodings, mut scores) = (0, 0);
        for line in &lines {
            let words: Vec<_> = line.split(' ').collect();
            if let Some((name, list)) = line.split_once(" <class 'bytearray'> 8 [") {
                let list = list.trim_end_matches(']').split(", ");
                let code: Vec<i8> = list.map(|byte| byte.parse::<u8>().unwrap() as i8).collect();
                if let Some(feature) = features.get(name) {
                    // The original's 128 stands for both ends.
                    for ((ours, &theirs), &value) in encoded(feature).iter().zip(&code).zip(feature)
                    {
                        let expected = if value >= 0.25 { 127 } else { theirs };
                        assert_eq!(*ours, expected, "{name}: {value}");
                    }
                    encodings += 1;
                }
                codes.insert(name, code);
            } else if let [a, b, score] = words[..]
                && let (Some(a), Some(b)) = (codes.get(a), codes.get(b))
            {
                let ours = compare(a, b).unwrap();
                match score.parse() {
                    Ok(score) => assert_close(&[ours], &[score]),
                    Err(_) => assert!(ours.is_nan(), "{line}"),
                }
                scores += 1;
            }
        }
        assert_eq!((encodings, scores), (5, 100));
    }

    proptest! {
        #[test]
        fn a_feature_is_like_itself(
            code in prop::collection::vec(any::<i8>(), 1..600)
                .prop_filter("not all zero", |code| code.iter().any(|&value| value != 0)),
        ) {
            prop_assert_eq!(compare(&code, &code), Ok(100.0));
            let other: Vec<i8> = code.iter().rev().copied().collect();
            prop_assert_eq!(compare(&code, &other), compare(&other, &code));
        }
    }
}
