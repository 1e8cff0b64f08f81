//! Data moves of whole runs of bytes: concat, memory copy, remove padding.

use crate::tensor::copy;

/// Copies one input of a concatenation into its place: `x` is `outer` pieces, each goes to
/// `offset` within one of `outer` equal parts of `y`. All in bytes; v3's concat has one piece.
///
/// Answers `None` if the pieces do not divide evenly or do not fit.
///
/// Source: docs/formats.md, v4 opcode 0x01, v3 layer types 16 and 17.
#[inline(never)]
pub fn concat(x: &[u8], y: &mut [u8], outer: usize, offset: usize) -> Option<()> {
    let (piece, part) = (x.len().checked_div(outer)?, y.len().checked_div(outer)?);
    let even = piece * outer == x.len() && part * outer == y.len();
    let end = offset.checked_add(piece).filter(|&end| even && end <= part)?;
    if piece == 0 {
        return Some(());
    }
    for (x, y) in x.chunks_exact(piece).zip(y.chunks_exact_mut(part.max(1))) {
        copy(x, y.get_mut(offset..end)?);
    }
    Some(())
}

/// Copies whole words of four bytes; a rest of up to three bytes stays as it was.
///
/// Source: docs/formats.md, v4 opcode 0x09.
#[inline(never)]
pub fn memory_copy(x: &[u8], y: &mut [u8]) {
    let (words, _) = x.as_chunks::<4>();
    let (targets, _) = y.as_chunks_mut::<4>();
    copy(words.as_flattened(), targets.as_flattened_mut());
}

/// `y[c] = x[16 * c]`: the first pixels of 4x4 images.
///
/// Source: docs/formats.md, v3 layer type 10242.
#[inline(never)]
pub fn remove_padding(x: &[u8], y: &mut [u8]) {
    y.iter_mut().zip(x.iter().step_by(16)).for_each(|(y, &x)| *y = x);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concat_of_two() {
        let mut y = [0; 10];
        concat(&[1, 2, 3, 4], &mut y, 2, 0).expect("fits");
        concat(&[5, 6, 7, 8, 9, 10], &mut y, 2, 2).expect("fits");
        assert_eq!(y, [1, 2, 5, 6, 7, 3, 4, 8, 9, 10]);
        concat(&[], &mut y, 2, 5).expect("nothing to do");
    }

    #[test]
    fn concat_refuses_what_does_not_fit() {
        let mut y = [0; 10];
        assert!(concat(&[0; 4], &mut y, 2, 4).is_none());
        assert!(concat(&[0; 3], &mut y, 2, 0).is_none());
        assert!(concat(&[0; 4], &mut y, 0, 0).is_none());
        assert!(concat(&[0; 4], &mut y, 2, usize::MAX).is_none());
    }

    #[test]
    fn memory_copy_leaves_the_rest() {
        let mut y = [0; 7];
        memory_copy(&[1, 2, 3, 4, 5, 6, 7], &mut y);
        assert_eq!(y, [1, 2, 3, 4, 0, 0, 0]);
    }

    #[test]
    fn remove_padding_takes_every_sixteenth() {
        let x: Vec<u8> = (0..64).collect();
        let mut y = [0; 4];
        remove_padding(&x, &mut y);
        assert_eq!(y, [0, 16, 32, 48]);
    }
}
