//! Turning, moving and scaling pictures.

use crate::picture::Picture;

/// The first two lines of a 3 x 3 matrix of an affine transform.
pub type Transform = [[f32; 3]; 2];

/// The similarity (turn or mirror, scale, move) that takes `to` to `from` with the least squared
/// error: what a warp needs to look up, for each target place, the source place.
pub fn estimate(from: &[(f32, f32)], to: &[(f32, f32)]) -> Transform {
    let count = from.len() as f32;
    let mean = |points: &[(f32, f32)]| {
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
        (x / count, y / count)
    };
    let (from_mean, to_mean) = (mean(from), mean(to));
    // Covariance of both point sets, and the variance of `to`.
    let mut a = [[0.0f32; 2]; 2];
    let mut variance = 0.0;
    for (f, t) in from.iter().zip(to) {
        let f = [f.0 - from_mean.0, f.1 - from_mean.1];
        let t = [t.0 - to_mean.0, t.1 - to_mean.1];
        for (row, f) in a.iter_mut().zip(f) {
            for (cell, t) in row.iter_mut().zip(t) {
                *cell += f * t;
            }
        }
        variance += t[0] * t[0] + t[1] * t[1];
    }
    let mirrored = a[0][0] * a[1][1] < a[0][1] * a[1][0];
    let (cosine, sine) = if mirrored {
        (a[0][0] - a[1][1], a[1][0] + a[0][1])
    } else {
        (a[0][0] + a[1][1], a[1][0] - a[0][1])
    };
    let (cosine, sine) =
        if variance > 0.0 { (cosine / variance, sine / variance) } else { (1.0, 0.0) };
    let side = if mirrored { -1.0 } else { 1.0 };
    let (m00, m01, m10, m11) = (cosine, -sine * side, sine, cosine * side);
    [
        [m00, m01, from_mean.0 - (m00 * to_mean.0 + m01 * to_mean.1)],
        [m10, m11, from_mean.1 - (m10 * to_mean.0 + m11 * to_mean.1)],
    ]
}

/// Fills the planes of `to` with the planes of `from`, looked up through `transform` in 1/256 of
/// a pixel and interpolated; 0 where the place lies outside.
pub fn warp_planes(
    from: Planes<&[u8]>,
    to: &mut Planes<&mut [u8]>,
    transform: &Transform,
    planes: usize,
) {
    let (from_plane, to_plane) = (from.width * from.height, to.width * to.height);
    for index in 0..to_plane {
        let (x, y) = ((index % to.width) as f32 * 256.0, (index / to.width) as f32 * 256.0);
        let place = |row: &[f32; 3]| (row[0] * x + row[1] * y + row[2] * 256.0) as i64;
        let (x, y) = (place(&transform[0]), place(&transform[1]));
        let (x0, y0) = (x >> 8, y >> 8);
        let inside = (0..from.width as i64).contains(&x0) && (0..from.height as i64).contains(&y0);
        for plane in 0..planes {
            let at = |x: i64, y: i64| {
                let x = (x as usize).min(from.width - 1);
                let y = (y as usize).min(from.height - 1);
                i64::from(from.bytes[plane * from_plane + y * from.width + x])
            };
            let (way_x, way_y) = (x & 255, y & 255);
            to.bytes[plane * to_plane + index] = if inside {
                let sum = (256 - way_x) * (256 - way_y) * at(x0, y0)
                    + way_x * (256 - way_y) * at(x0 + 1, y0)
                    + (256 - way_x) * way_y * at(x0, y0 + 1)
                    + way_x * way_y * at(x0 + 1, y0 + 1);
                (sum >> 16) as u8
            } else {
                0
            };
        }
    }
}

/// Planes of one size, one after the other.
pub struct Planes<P> {
    /// Pixels of a line.
    pub width: usize,
    /// Lines of a plane.
    pub height: usize,
    /// The planes.
    pub bytes: P,
}

/// How [`rotate`] moves a picture: angles in degrees, the rest in pixels.
#[derive(Clone, Copy)]
pub struct Rotation {
    /// Turns around the x, y and z axis.
    pub angles: [f32; 3],
    /// Moves right and down.
    pub translation: [f32; 2],
    /// Enlarges; > 0.
    pub zoom: f32,
    /// Field of view of the camera, degrees, > 0 and < 180.
    pub field_of_view: f32,
}

/// Looks at the picture, standing at the distance that the field of view asks for, after it was
/// turned around its middle; what lies outside is black.
pub fn rotate<P: AsRef<[u8]> + AsMut<[u8]>>(picture: &mut Picture<P>, rotation: &Rotation) {
    let copy = picture.copy();
    let (width, height) = (picture.width as f32, picture.height as f32);
    let distance = width.max(height) / 2.0 / libm::tanf(rotation.field_of_view.to_radians() / 2.0);
    let [(sx, cx), (sy, cy), (sz, cz)] = rotation.angles.map(|a| libm::sincosf(a.to_radians()));
    // Columns of Rz * Ry * Rx that belong to the picture's own x and y.
    let right = [cz * cy, sz * cy, -sy];
    let down = [cz * sy * sx - sz * cx, sz * sy * sx + cz * cx, cy * sx];
    for (x, y) in copy.places() {
        let view = [
            (x as f32 + 0.5 - width / 2.0 - rotation.translation[0]) / rotation.zoom,
            (y as f32 + 0.5 - height / 2.0 - rotation.translation[1]) / rotation.zoom,
        ];
        // right * u + down * v, seen from (0, 0, -distance), appears at `view`.
        let row = |axis: usize| {
            (
                right[axis] * distance - right[2] * view[axis],
                down[axis] * distance - down[2] * view[axis],
                view[axis] * distance,
            )
        };
        let ((a, b, e), (c, d, f)) = (row(0), row(1));
        let determinant = a * d - b * c;
        let u = (e * d - b * f) / determinant + width / 2.0;
        let v = (a * f - e * c) / determinant + height / 2.0;
        let inside = (0.0..width).contains(&u) && (0.0..height).contains(&v);
        picture.set(x, y, if inside { copy.value(u as usize, v as usize) } else { 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::Format;

    #[test]
    fn a_known_similarity_is_found() {
        let to = [(10.0, 20.0), (50.0, 22.0), (30.0, 60.0), (12.0, 70.0), (47.0, 66.0)];
        for side in [1.0f32, -1.0] {
            let known = [[0.6, -0.8 * side, 5.0], [0.8, 0.6 * side, -7.0]];
            let from = to.map(|(x, y)| {
                let at = |row: [f32; 3]| row[0] * x + row[1] * y + row[2];
                (at(known[0]), at(known[1]))
            });
            let found = estimate(&from, &to);
            for (found, known) in found.as_flattened().iter().zip(known.as_flattened()) {
                assert!((found - known).abs() < 1e-4, "{found} {known}");
            }
        }
    }

    #[test]
    fn four_quarter_turns_are_none() {
        let mut picture = Picture::black(6, 6, Format::Gray);
        picture.pixels.iter_mut().enumerate().for_each(|(i, p)| *p = i as u8);
        let begin = picture.pixels.clone();
        let quarter = Rotation {
            angles: [0.0, 0.0, 90.0],
            translation: [0.0; 2],
            zoom: 1.0,
            field_of_view: 60.0,
        };
        for turn in 0..4 {
            assert!(turn == 0 || picture.pixels != begin);
            rotate(&mut picture, &quarter);
        }
        assert_eq!(picture.pixels, begin);
    }

    #[test]
    fn warping_by_nothing_is_a_copy() {
        let bytes: Vec<u8> = (0..48).collect();
        let mut result = vec![0; 48];
        let from = Planes { width: 4, height: 4, bytes: &bytes[..] };
        let mut to = Planes { width: 4, height: 4, bytes: &mut result[..] };
        warp_planes(from, &mut to, &[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 3);
        assert_eq!(result, bytes);
    }
}
