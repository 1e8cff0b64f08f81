//! Weights of which the file keeps the values beside zeros only.

use super::flatbuffer::Table;
use crate::problem::Fault;

/// The dense bytes of a sparse tensor; `element` is the size of a value.
///
/// Field numbers as in schema.fbs. The dimensions are told in an order of their own, each either dense
/// or as a list: which indices occur below each position of the dimension before.
pub fn densify(
    stored: &[u8],
    sparsity: &Table<'_>,
    shape: &[usize],
    element: usize,
) -> Result<Vec<u8>, Fault> {
    let damaged = || Fault::damaged("a sparse tensor contradicts itself");
    if !sparsity.vector(1)?.i32s()?.is_empty() {
        return Err(Fault::new(
            "weights that are sparse in blocks",
            "export the model with dense weights",
        ));
    }
    let order = sparsity.vector(0)?.i32s()?;
    let dimensions = sparsity.vector(2)?.tables()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..shape.len() as i32) || dimensions.len() != order.len() {
        return Err(damaged());
    }
    let elements: usize = shape.iter().product();
    // Where each value lies: in the list of the dimension before, and in the dense tensor.
    let mut places = vec![(0, 0)];
    for (&axis, dimension) in order.iter().zip(&dimensions) {
        let axis = axis as usize;
        let step: usize = shape[axis + 1..].iter().product();
        let mut next = Vec::new();
        if dimension.u8(0, 0)? == 0 {
            if places.len().saturating_mul(shape[axis]) > elements {
                return Err(damaged());
            }
            for (at, offset) in places {
                next.extend((0..shape[axis]).map(|i| (at * shape[axis] + i, offset + i * step)));
            }
        } else {
            let (segments, indices) = (list(dimension, 2)?, list(dimension, 4)?);
            for (at, offset) in places {
                let [Some(&from), Some(&to)] = [segments.get(at), segments.get(at + 1)] else {
                    return Err(damaged());
                };
                for (i, &index) in indices.get(from..to).ok_or_else(damaged)?.iter().enumerate() {
                    if index >= shape[axis] {
                        return Err(damaged());
                    }
                    next.push((from + i, offset + index * step));
                }
                if next.len() > elements {
                    return Err(damaged());
                }
            }
        }
        places = next;
    }
    let mut dense = vec![0; elements * element];
    for (at, offset) in places {
        let value = stored.get(at * element..(at + 1) * element).ok_or_else(damaged)?;
        dense[offset * element..(offset + 1) * element].copy_from_slice(value);
    }
    Ok(dense)
}

/// A list of indices: the kind of its numbers stands in field `kind`, the list behind it.
fn list(dimension: &Table<'_>, kind: usize) -> Result<Vec<usize>, Fault> {
    let Some(table) = dimension.table(kind + 1)? else { return Ok(Vec::new()) };
    let values = table.vector(0)?;
    Ok(match dimension.u8(kind, 0)? {
        1 => values.i32s()?.into_iter().map(|v| usize::try_from(v).unwrap_or(usize::MAX)).collect(),
        2 => values.u16s()?.into_iter().map(usize::from).collect(),
        3 => values.bytes()?.iter().map(|&v| usize::from(v)).collect(),
        _ => Vec::new(),
    })
}
