//! The firmware's resize. It is neither a common bilinear filter nor a box filter; scripts and
//! models are used to it, so every rule is kept. Source: docs/compatibility.md, images.

use libm::fmaf;

use crate::picture::{Format, Picture};

/// `from` in the size of `to`; both of one format.
pub fn resize<P, Q>(from: &Picture<P>, to: &mut Picture<Q>)
where
    P: AsRef<[u8]>,
    Q: AsRef<[u8]> + AsMut<[u8]>,
{
    let grows_somewhere = to.width >= from.width || to.height >= from.height;
    match from.format {
        Format::Gray if grows_somewhere => gray_bilinear(from, to),
        Format::Gray => gray_mean(from, to),
        Format::Rgb565 if to.width <= from.width || to.height < from.height => nearest(from, to),
        Format::Rgb565 => colour_bilinear(from, to),
    }
}

/// Source pixels for one target pixel.
fn steps<P, Q>(from: &Picture<P>, to: &Picture<Q>) -> (f32, f32) {
    (from.width as f32 / to.width as f32, from.height as f32 / to.height as f32)
}

fn nearest<P: AsRef<[u8]>, Q: AsRef<[u8]> + AsMut<[u8]>>(from: &Picture<P>, to: &mut Picture<Q>) {
    let (step_x, step_y) = steps(from, to);
    for (x, y) in to.places() {
        let from_x = ((x as f32 * step_x) as usize).min(from.width - 1);
        let from_y = ((y as f32 * step_y) as usize).min(from.height - 1);
        to.set(x, y, from.value(from_x, from_y));
    }
}

/// A place between two pixels: the first one and the way to the second. In front of the first
/// pixel the way is negative, which extrapolates.
fn between(target: usize, step: f32) -> (usize, f32) {
    let place = ((target as f64 + 0.5) * f64::from(step) - 0.5) as f32;
    let first = place as usize;
    (first, place - first as f32)
}

fn gray_bilinear<P: AsRef<[u8]>, Q: AsRef<[u8]> + AsMut<[u8]>>(
    from: &Picture<P>,
    to: &mut Picture<Q>,
) {
    let (step_x, step_y) = steps(from, to);
    for (x, y) in to.places() {
        let ((x0, way_x), (y0, way_y)) = (between(x, step_x), between(y, step_y));
        let (x1, y1) = ((x0 + 1).min(from.width - 1), (y0 + 1).min(from.height - 1));
        let at = |x, y| f32::from(from.gray(x, y));
        let (back_x, back_y) = (1.0 - way_x, 1.0 - way_y);
        let value = at(x0, y0) * back_x * back_y;
        let value = fmaf(at(x1, y0) * way_x, back_y, value);
        let value = fmaf(at(x0, y1) * back_x, way_y, value);
        let value = fmaf(at(x1, y1) * way_x, way_y, value);
        to.set(x, y, u16::from(value as u8));
    }
}

/// The mean of a box whose last line and column belong to it, and whose columns step like its
/// lines. Right of a line the next one is met; behind the last line nothing counts (the firmware
/// reads what follows the picture).
fn gray_mean<P: AsRef<[u8]>, Q: AsRef<[u8]> + AsMut<[u8]>>(from: &Picture<P>, to: &mut Picture<Q>) {
    let (_, step) = steps(from, to);
    let span =
        |target: usize| (target as f32 * step) as usize..=((target + 1) as f32 * step) as usize;
    let pixels = from.pixels.as_ref();
    for (x, y) in to.places() {
        let places = span(y).flat_map(|y| span(x).map(move |x| y * from.width + x));
        let (sum, count) = places
            .filter_map(|place| pixels.get(place))
            .fold((0, 0), |(sum, count), &pixel| (sum + u32::from(pixel), count + 1));
        to.set(x, y, (sum / count.max(1)) as u16);
    }
}

fn colour_bilinear<P: AsRef<[u8]>, Q: AsRef<[u8]> + AsMut<[u8]>>(
    from: &Picture<P>,
    to: &mut Picture<Q>,
) {
    let (step_x, step_y) = steps(from, to);
    for (x, y) in to.places() {
        let ((x0, way_x), (y0, way_y)) = (between(x, step_x), between(y, step_y));
        if x0 + 1 >= from.width || y0 + 1 >= from.height {
            to.set(x, y, from.value(x0.min(from.width - 1), y0.min(from.height - 1)));
            continue;
        }
        let corners = [(x0, y0), (x0 + 1, y0), (x0, y0 + 1), (x0 + 1, y0 + 1)];
        let corners = corners.map(|(x, y)| from.value(x, y));
        let channel = |shift: u32, mask: u16| {
            let [a, b, c, d] = corners.map(|value| f32::from(value >> shift & mask));
            let upper = fmaf(1.0 - way_x, a, way_x * b);
            let lower = fmaf(1.0 - way_x, c, way_x * d);
            let value = fmaf(1.0 - way_y, upper, way_y * lower) as u8;
            (u16::from(value) & mask) << shift
        };
        to.set(x, y, channel(11, 31) | channel(5, 63) | channel(0, 31));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_size_is_a_copy() {
        for format in [Format::Gray, Format::Rgb565] {
            let mut from = Picture::black(5, 3, format);
            from.pixels.iter_mut().enumerate().for_each(|(i, p)| *p = (i * 31) as u8);
            let mut to = Picture::black(5, 3, format);
            resize(&from, &mut to);
            assert_eq!(to.pixels, from.pixels);
        }
    }

    #[test]
    fn one_colour_stays_one_colour() {
        for format in [Format::Gray, Format::Rgb565] {
            let mut from = Picture::black(8, 6, format);
            from.pixels.fill(0xA5);
            for (width, height) in [(4, 3), (16, 12), (3, 5), (11, 7), (1, 1)] {
                let mut to = Picture::black(width, height, format);
                resize(&from, &mut to);
                let middle = to.value(width / 2, height / 2);
                assert_eq!(middle, from.value(0, 0), "{format:?} {width}x{height}");
            }
        }
    }
}
