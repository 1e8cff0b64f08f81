//! KPU RAM: how planar images are packed into its rows of 64 bytes (docs/formats.md, KPU RAM layout).

use core::ops::Range;

use crate::{
    error::{Error, Kind, Result, What},
    tensor::{ImageShape, copy},
};

/// Bytes of one row.
pub const ROW_BYTES: usize = 64;
/// Rows of KPU RAM.
pub const KPU_RAM_ROWS: usize = 32768;
/// Bytes of KPU RAM: 2 MiB.
pub const KPU_RAM_BYTES: usize = KPU_RAM_ROWS * ROW_BYTES;

/// How lines of one width are packed: narrow images have several channels side by side in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLayout {
    /// Channels that share a row: 4, 2 or 1.
    pub group: usize,
    /// Bytes between the channels that share a row.
    pub pitch: usize,
    /// Rows of one image line.
    pub line_rows: usize,
}

impl RowLayout {
    /// The layout of lines of `width` pixels.
    pub const fn of(width: usize) -> Self {
        match width {
            0..=16 => Self { group: 4, pitch: 16, line_rows: 1 },
            17..=32 => Self { group: 2, pitch: 32, line_rows: 1 },
            _ => Self { group: 1, pitch: 64, line_rows: width.div_ceil(ROW_BYTES) },
        }
    }

    /// Bytes from the start of an image of `height` lines to the line `(channel, y)`.
    pub const fn line_offset(self, height: usize, channel: usize, y: usize) -> usize {
        // Groups of 4, 2 and 1.
        let lines = (channel >> (self.group >> 1)) * height + y;
        lines * self.line_rows * ROW_BYTES + (channel & (self.group - 1)) * self.pitch
    }
}

/// Rows that an image takes; batch n of an image begins `n * rows` behind the first.
pub const fn rows(shape: ImageShape) -> usize {
    let layout = RowLayout::of(shape.width);
    layout
        .line_rows
        .saturating_mul(shape.height)
        .saturating_mul(shape.channels.div_ceil(layout.group))
}

/// An error if an image that begins at `row` does not end inside KPU RAM.
pub fn check_range(what: What, row: usize, shape: ImageShape) -> Result<()> {
    let end = row.saturating_add(rows(shape));
    if end > KPU_RAM_ROWS {
        let bytes = (end as u64).saturating_mul(ROW_BYTES as u64);
        return Err(Error::about(Kind::KpuRam, what, [bytes, KPU_RAM_BYTES as u64]));
    }
    Ok(())
}

/// Scatters contiguous C, H, W bytes into KPU RAM, beginning at `row`.
///
/// Bytes between the width and the pitch stay as they were.
pub fn upload(ram: &mut [u8], row: usize, shape: ImageShape, pixels: &[u8]) -> Result<()> {
    check_image(row, shape)?;
    check_bytes(pixels.len(), shape.elements())?;
    for (channel, plane) in pixels.chunks_exact(shape.plane().max(1)).enumerate() {
        upload_channel(ram, row, shape, channel, plane)?;
    }
    Ok(())
}

/// Scatters the lines of one channel of the image that begins at `row`.
pub fn upload_channel(
    ram: &mut [u8],
    row: usize,
    shape: ImageShape,
    channel: usize,
    plane: &[u8],
) -> Result<()> {
    check_image(row, shape)?;
    check_bytes(plane.len(), shape.plane())?;
    for ((begin, end), line) in
        lines(row, shape, channel).zip(plane.chunks_exact(shape.width.max(1)))
    {
        copy(line, ram.get_mut(begin..end).ok_or_else(|| beyond(end))?);
    }
    Ok(())
}

/// Gathers the image that begins at `row` into contiguous C, H, W bytes.
pub fn download(ram: &[u8], row: usize, shape: ImageShape, pixels: &mut [u8]) -> Result<()> {
    check_image(row, shape)?;
    check_bytes(pixels.len(), shape.elements())?;
    for (channel, plane) in pixels.chunks_exact_mut(shape.plane().max(1)).enumerate() {
        let places = lines(row, shape, channel);
        for ((begin, end), line) in places.zip(plane.chunks_exact_mut(shape.width.max(1))) {
            copy(ram.get(begin..end).ok_or_else(|| beyond(end))?, line);
        }
    }
    Ok(())
}

/// The lines of one channel of the image that begins at `row`, up to the next channel's pixels:
/// only the first `shape.width` bytes of each are the image's.
pub(super) fn channel_lines_mut(
    ram: &mut [u8],
    row: usize,
    shape: ImageShape,
    channel: usize,
) -> Result<impl Iterator<Item = &mut [u8]>> {
    let layout = RowLayout::of(shape.width);
    let line_bytes = layout.line_rows * ROW_BYTES;
    let first_row = row * ROW_BYTES + layout.line_offset(shape.height, channel, 0);
    let begin = layout.pitch * (channel & (layout.group - 1));
    let end = if layout.group == 1 { line_bytes } else { begin + layout.pitch };
    let rows = first_row - begin;
    let lines = ram.get_mut(rows..rows + shape.height * line_bytes).ok_or_else(|| beyond(rows))?;
    Ok(lines.chunks_exact_mut(line_bytes).filter_map(move |line| line.get_mut(begin..end)))
}

fn check_image(row: usize, shape: ImageShape) -> Result<()> {
    if shape.channels == 0 || shape.height == 0 || shape.width == 0 {
        return Err(Error::of(Kind::Field, What::DimensionOfTheImage));
    }
    check_range(What::Image, row, shape)
}

fn check_bytes(bytes: usize, wanted: usize) -> Result<()> {
    if bytes != wanted {
        return Err(Error::about(Kind::SizeMismatch, What::Image, [bytes as u64, wanted as u64]));
    }
    Ok(())
}

fn beyond(end: usize) -> Error {
    Error::about(Kind::KpuRam, What::Image, [end as u64, KPU_RAM_BYTES as u64])
}

/// Byte ranges of the lines of a batch of images, one after the other.
pub fn line_ranges(
    row: usize,
    batches: usize,
    shape: ImageShape,
) -> impl Iterator<Item = Range<usize>> {
    let (lines, planes) = (shape.height, batches * shape.channels);
    (0..planes * lines).map(move |line| line_range(row, shape, line))
}

/// Byte range of a line, counted over all channels of all images.
#[inline(never)]
fn line_range(row: usize, shape: ImageShape, line: usize) -> Range<usize> {
    let (lines, channels) = (shape.height.max(1), shape.channels.max(1));
    let (plane, y) = (line / lines, line % lines);
    let (batch, channel) = (plane / channels, plane % channels);
    let offset = RowLayout::of(shape.width).line_offset(shape.height, channel, y);
    let begin = (row + batch * rows(shape)) * ROW_BYTES + offset;
    begin..begin + shape.width
}

/// Byte ranges of the lines of one channel.
fn lines(row: usize, shape: ImageShape, channel: usize) -> impl Iterator<Item = (usize, usize)> {
    let layout = RowLayout::of(shape.width);
    (0..shape.height).map(move |y| {
        let begin = row * ROW_BYTES + layout.line_offset(shape.height, channel, y);
        (begin, begin + shape.width)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layout_by_width() {
        for (width, group, pitch, line_rows) in [
            (1, 4, 16, 1),
            (16, 4, 16, 1),
            (17, 2, 32, 1),
            (32, 2, 32, 1),
            (33, 1, 64, 1),
            (64, 1, 64, 1),
            (65, 1, 64, 2),
            (320, 1, 64, 5),
        ] {
            assert_eq!(RowLayout::of(width), RowLayout { group, pitch, line_rows }, "{width}");
        }
    }

    #[test]
    fn rows_by_shape() {
        assert_eq!(rows(ImageShape::new(3, 2, 5)), 2);
        assert_eq!(rows(ImageShape::new(5, 2, 5)), 4);
        assert_eq!(rows(ImageShape::new(3, 2, 20)), 4);
        assert_eq!(rows(ImageShape::new(3, 240, 320)), 3600);
    }

    #[test]
    fn upload_scatters_and_keeps_the_bytes_between() {
        let mut ram = vec![0xA5; 8 * ROW_BYTES];
        // Five channels of 1x2: four share row 1, the fifth begins row 2.
        let pixels = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        upload(&mut ram, 1, ImageShape::new(5, 1, 2), &pixels).unwrap();
        let written: Vec<_> =
            ram.iter().enumerate().filter(|&(_, &b)| b != 0xA5).map(|(i, &b)| (i, b)).collect();
        assert_eq!(
            written,
            [
                (64, 1),
                (65, 2),
                (80, 3),
                (81, 4),
                (96, 5),
                (97, 6),
                (112, 7),
                (113, 8),
                (128, 9),
                (129, 10)
            ]
        );
    }

    #[test]
    fn bad_images_are_errors() {
        let mut ram = vec![0; KPU_RAM_BYTES];
        let kind = |r: Result<()>| r.unwrap_err().kind();
        let shape = ImageShape::new(1, 2, 2);
        assert_eq!(kind(upload(&mut ram, 0, shape, &[0; 3])), Kind::SizeMismatch);
        assert_eq!(kind(upload(&mut ram, 32767, shape, &[0; 4])), Kind::KpuRam);
        assert_eq!(kind(upload(&mut ram[..64], 0, shape, &[0; 4])), Kind::KpuRam);
        assert_eq!(kind(upload(&mut ram, 0, ImageShape::new(0, 1, 0), &[])), Kind::Field);
        let huge = ImageShape::new(usize::MAX, usize::MAX, usize::MAX);
        assert_eq!(kind(download(&ram, usize::MAX, huge, &mut [0; 4])), Kind::KpuRam);
    }

    proptest! {
        #[test]
        fn download_inverts_upload(
            (c, h, w) in (1usize..6, 1usize..5, 1usize..200),
            row in 0usize..10,
            seed: u8,
        ) {
            let shape = ImageShape::new(c, h, w);
            let pixels: Vec<u8> =
                (0..shape.elements()).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
            let mut ram = vec![0; KPU_RAM_BYTES];
            upload(&mut ram, row, shape, &pixels).unwrap();
            let mut back = vec![0; pixels.len()];
            download(&ram, row, shape, &mut back).unwrap();
            prop_assert_eq!(pixels, back);
        }
    }
}
