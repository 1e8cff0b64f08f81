//! Operators that only move elements.

use super::for_each_index;
use crate::graph::{Padding, strides};

/// `y[i] = x[i permuted]`
pub fn transpose(perm: &[usize], x: &[f32], shape: &[usize]) -> Vec<f32> {
    let steps = strides(shape);
    let steps: Vec<usize> = perm.iter().map(|&p| steps[p]).collect();
    let out: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
    let mut y = Vec::with_capacity(x.len());
    for_each_index(&out, |index| {
        y.push(x[index.iter().zip(&steps).map(|(i, s)| i * s).sum::<usize>()])
    });
    y
}

/// Operands side by side along `axis`.
pub fn concat(axis: usize, operands: &[&[f32]], shapes: &[&[usize]]) -> Vec<f32> {
    let outer: usize = shapes[0][..axis].iter().product();
    let mut y = Vec::with_capacity(operands.iter().map(|x| x.len()).sum());
    for o in 0..outer {
        for x in operands {
            let block = x.len() / outer;
            y.extend_from_slice(&x[o * block..][..block]);
        }
    }
    y
}

/// Every `stride`-th element from `begin` on.
pub fn slice(
    begin: &[usize],
    step: &[isize],
    x: &[f32],
    shape: &[usize],
    out: &[usize],
) -> Vec<f32> {
    let dims = strides(shape);
    let mut y = Vec::with_capacity(out.iter().product());
    for_each_index(out, |index| {
        let at = (0..index.len())
            .map(|d| (begin[d] as isize + index[d] as isize * step[d]) as usize * dims[d])
            .sum::<usize>();
        y.push(x[at]);
    });
    y
}

/// A border of `value`.
pub fn pad(pads: &[Padding], value: f32, x: &[f32], shape: &[usize], out: &[usize]) -> Vec<f32> {
    let steps = strides(out);
    let mut y = vec![value; out.iter().product()];
    let mut values = x.iter();
    for_each_index(shape, |index| {
        let at: usize = (0..index.len()).map(|d| (index[d] + pads[d].0) * steps[d]).sum();
        y[at] = *values.next().expect("as many as the shape has");
    });
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_move_as_told() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(transpose(&[1, 0], &x, &[2, 3]), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(
            concat(1, &[&x, &[7.0, 8.0]], &[&[2, 3], &[2, 1]]),
            [1.0, 2.0, 3.0, 7.0, 4.0, 5.0, 6.0, 8.0]
        );
        assert_eq!(slice(&[0, 2], &[1, -2], &x, &[2, 3], &[2, 2]), [3.0, 1.0, 6.0, 4.0]);
        assert_eq!(pad(&[(0, 0), (1, 0)], 9.0, &x[..2], &[1, 2], &[1, 3]), [9.0, 1.0, 2.0]);
    }
}
