//! Scores of classes: sigmoid, softmax, the best one, the best few.

/// `1 / (1 + e^-x)`.
#[inline(never)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// Turns scores into probabilities that sum to 1, in place.
pub fn softmax(scores: &mut [f32]) {
    let largest = maximum(scores.iter().copied());
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = libm::expf(*score - largest);
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// The largest of `values`; negative infinity if there is none.
pub(super) fn maximum(values: impl Iterator<Item = f32>) -> f32 {
    values.fold(f32::NEG_INFINITY, f32::max)
}

/// Index of the largest score, the first of equals; `None` where there is none but NaN.
pub fn argmax(scores: &[f32]) -> Option<usize> {
    let mut best = [Ranked::default()];
    top_k(scores, &mut best).first().map(|best| best.index)
}

/// A score and where it stood.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Ranked {
    /// Index in the list of scores.
    pub index: usize,
    /// The score.
    pub score: f32,
}

/// The `top.len()` largest scores, largest first, equals in their order; NaN is left out.
///
/// The answer is shorter than `top` where there are fewer scores.
pub fn top_k<'t>(scores: &[f32], top: &'t mut [Ranked]) -> &'t [Ranked] {
    let mut filled = 0;
    for (index, &score) in scores.iter().enumerate().filter(|(_, score)| !score.is_nan()) {
        let mut moving = Ranked { index, score };
        for place in top.iter_mut().take(filled).skip_while(|place| place.score >= score) {
            core::mem::swap(&mut moving, place);
        }
        if let Some(place) = top.get_mut(filled) {
            *place = moving;
            filled += 1;
        }
    }
    top.get(..filled).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testdata::{assert_close, transcript};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sigmoid_of_known_values() {
        assert_close(&[sigmoid(0.0), sigmoid(1.0), sigmoid(-10.0)], &[0.5, 0.7310586, 4.539787e-5]);
        assert_eq!(sigmoid(100.0), 1.0);
        assert!(sigmoid(-100.0) < 1e-37);
    }

    #[test]
    fn softmax_does_not_overflow() {
        let mut scores = [1000.0, 999.0];
        softmax(&mut scores);
        assert_close(&scores, &[0.7310586, 0.2689414]);
        softmax(&mut []);
    }

    /// Lines of the script such as `[1, 2, 3] [0.09, 0.24, 0.66] [0.09, 0.24, 0.66]`.
    #[test]
    fn softmax_as_recorded() {
        let Some(lines) = transcript("canmv/helpers") else { return };
        let lists = lines.iter().filter(|line| line.starts_with('[') && line.ends_with(']'));
        let mut seen = 0;
        for line in lists {
            let mut lists = line.split(']').map(|list| {
                let list = list.trim_start_matches([' ', '[']).split(", ");
                list.filter_map(|number| number.parse().ok()).collect::<Vec<f32>>()
            });
            let (mut scores, expected) = (lists.next().unwrap(), lists.next().unwrap());
            softmax(&mut scores);
            assert_close(&scores, &expected);
            seen += 1;
        }
        assert_eq!(seen, 7);
    }

    #[test]
    fn best_scores() {
        let scores = [0.1, f32::NAN, 0.7, 0.2, 0.7];
        assert_eq!(argmax(&scores), Some(2));
        let mut top = [Ranked::default(); 3];
        let top: Vec<_> = top_k(&scores, &mut top).iter().map(|best| best.index).collect();
        assert_eq!(top, [2, 4, 3]);
        assert_eq!(argmax(&[f32::NAN]), None);
        assert_eq!(argmax(&[]), None);
    }

    proptest! {
        #[test]
        fn top_k_is_the_head_of_a_stable_sort(
            scores in prop::collection::vec((-9i8..9).prop_map(f32::from), 0..40),
            k in 0usize..10,
        ) {
            let mut sorted: Vec<_> = scores.iter().copied().enumerate().collect();
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
            sorted.truncate(k);
            let mut top = vec![Ranked::default(); k];
            let top: Vec<_> = top_k(&scores, &mut top).iter().map(|b| (b.index, b.score)).collect();
            prop_assert_eq!(top, sorted);
        }
    }
}
