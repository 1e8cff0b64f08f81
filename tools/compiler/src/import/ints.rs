//! Integers that are known while importing: shapes, axes, paddings and what is computed from them.
//!
//! Exporters compute shapes with chains such as Shape -> StridedSlice -> Pack -> Reshape; since the
//! shapes are known here, the chain is carried out at once and never reaches the graph.

use crate::{eval, graph::strides, problem::Fault};

/// An integer tensor with known values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ints {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub data: Vec<i64>,
}

impl Ints {
    /// A list.
    pub fn list(data: Vec<i64>) -> Self {
        Self { shape: vec![data.len()], data }
    }

    /// The values as sizes.
    pub fn sizes(&self) -> Result<Vec<usize>, Fault> {
        let size = |&v: &i64| {
            usize::try_from(v).map_err(|_| Fault::damaged(format!("{v} is not possible as a size")))
        };
        self.data.iter().map(size).collect()
    }

    /// The only value.
    pub fn scalar(&self) -> Result<i64, Fault> {
        match self.data[..] {
            [value] => Ok(value),
            _ => Err(Fault::damaged(format!("one number expected, {} found", self.data.len()))),
        }
    }

    /// The same values under another shape; one dimension may be -1.
    pub fn reshape(mut self, shape: Vec<usize>) -> Result<Self, Fault> {
        if shape.iter().product::<usize>() != self.data.len() {
            return Err(Fault::damaged("a reshape changes the number of elements"));
        }
        self.shape = shape;
        Ok(self)
    }

    /// Elements combined pairwise; one operand may be a single number.
    pub fn zip(&self, other: &Self, f: impl Fn(i64, i64) -> Option<i64>) -> Result<Self, Fault> {
        let (long, n) = if self.data.len() >= other.data.len() {
            (self, self.data.len())
        } else {
            (other, other.data.len())
        };
        if [self, other].iter().any(|x| x.data.len() != n && x.data.len() != 1) {
            return Err(Fault::damaged("shapes of integer operands do not go together"));
        }
        let pick = |x: &Self, i: usize| x.data[if x.data.len() == 1 { 0 } else { i }];
        let data = (0..n).map(|i| f(pick(self, i), pick(other, i))).collect::<Option<_>>();
        let data = data.ok_or_else(|| Fault::damaged("integer arithmetic overflows"))?;
        Ok(Self { shape: long.shape.clone(), data })
    }

    /// Operands joined along an axis.
    pub fn concat(axis: usize, parts: &[Ints]) -> Result<Self, Fault> {
        let first = parts.first().ok_or_else(|| Fault::damaged("nothing to join"))?;
        if axis >= first.shape.len().max(1) {
            return Err(Fault::damaged("axis out of range"));
        }
        let mut shape = if first.shape.is_empty() { vec![1] } else { first.shape.clone() };
        shape[axis] = parts.iter().map(|p| p.shape.get(axis).copied().unwrap_or(1)).sum();
        let outer: usize = shape[..axis].iter().product();
        if outer == 0
            || parts.iter().map(|p| p.data.len()).sum::<usize>() != shape.iter().product::<usize>()
        {
            return Err(Fault::damaged("shapes of joined integers do not go together"));
        }
        let mut data = Vec::new();
        for o in 0..outer {
            for part in parts {
                let block = part.data.len() / outer;
                data.extend_from_slice(&part.data[o * block..][..block]);
            }
        }
        Ok(Self { shape, data })
    }

    /// Elements at `indices` along an axis.
    pub fn gather(&self, axis: usize, indices: &Ints) -> Result<Self, Fault> {
        let dim = *self.shape.get(axis).ok_or_else(|| Fault::damaged("axis out of range"))?;
        let inner: usize = self.shape[axis + 1..].iter().product();
        let outer: usize = self.shape[..axis].iter().product();
        let mut data = Vec::new();
        for o in 0..outer {
            for &i in &indices.data {
                let i = if i < 0 { i + dim as i64 } else { i };
                let i = usize::try_from(i).ok().filter(|&i| i < dim);
                let i = i.ok_or_else(|| Fault::damaged("index out of range"))?;
                data.extend_from_slice(&self.data[(o * dim + i) * inner..][..inner]);
            }
        }
        let mut shape = self.shape[..axis].to_vec();
        shape.extend(&indices.shape);
        shape.extend(&self.shape[axis + 1..]);
        Ok(Self { shape, data })
    }

    /// A strided part.
    pub fn slice(&self, begin: &[usize], step: &[isize], out: &[usize]) -> Self {
        let dims = strides(&self.shape);
        let mut data = Vec::new();
        eval::for_each_index(out, |index| {
            let at = (0..index.len())
                .map(|d| (begin[d] as isize + index[d] as isize * step[d]) as usize * dims[d]);
            data.push(self.data[at.sum::<usize>()]);
        });
        Self { shape: out.to_vec(), data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_chain_of_keras() {
        let shape = Ints::list(vec![1, 7, 7, 32]);
        let batch = shape.slice(&[0], &[1], &[1]).reshape(vec![]).expect("one element");
        let packed = Ints::concat(0, &[batch, Ints::list(vec![-1])]).expect("a list");
        assert_eq!(packed, Ints::list(vec![1, -1]));
        assert_eq!(shape.gather(0, &Ints::list(vec![-1])).expect("in range").data, [32]);
        assert!(shape.gather(0, &Ints::list(vec![4])).is_err());
    }
}
