//! Glyphs of a font of one size, as `image.font_load` takes them (.Dzk).

use alloc::vec::Vec;

/// Glyphs one behind the other; one takes `width / 8 * height` bytes: byte columns from left to
/// right, each from top to bottom, the leftmost dot in the highest bit.
pub struct Font<'g> {
    /// Dots of a line, a multiple of 8.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// The glyphs; may end early.
    pub glyphs: &'g [u8],
}

impl Font<'_> {
    /// The dots of a glyph, line by line; none where it is not there.
    pub fn glyph(&self, number: usize) -> Vec<bool> {
        let size = self.width / 8 * self.height;
        let glyph = self.glyphs.get(number * size..).and_then(|g| g.get(..size));
        let dot = |glyph: &[u8], x: usize, y: usize| {
            glyph[x / 8 * self.height + y] >> (7 - x % 8) & 1 == 1
        };
        let places = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        places.map(|(x, y)| glyph.is_some_and(|glyph| dot(glyph, x, y))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_come_in_byte_columns() {
        let mut glyphs = vec![0; 5 * 4];
        glyphs[3 * 4..4 * 4].copy_from_slice(&[0x80, 0x00, 0x00, 0x01]);
        let font = Font { width: 16, height: 2, glyphs: &glyphs };
        let dots = font.glyph(3);
        let set: Vec<_> = (0..dots.len()).filter(|&i| dots[i]).collect();
        assert_eq!(set, [0, 31]);
        assert!(font.glyph(9).iter().all(|dot| !dot));
    }
}
