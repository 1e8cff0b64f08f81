//! Pooling and resizing.

use crate::graph::{Pool, ReduceOp, Resize};

/// `x` and the result are N, C, H, W.
pub fn pool(pool: &Pool, x: &[f32], shape: &[usize], out: &[usize]) -> Vec<f32> {
    let (h, w, oh, ow) = (shape[2], shape[3], out[2], out[3]);
    let window = &pool.window;
    let taps = |axis: usize, o: usize, size: usize| {
        let start = o * window.stride[axis];
        (0..window.kernel[axis])
            .map(move |k| (start + k * window.dilation[axis]).wrapping_sub(window.pad[axis].0))
            .filter(move |&i| i < size)
    };
    let mut y = Vec::with_capacity(out.iter().product());
    for plane in x.chunks_exact(h * w) {
        for oy in 0..oh {
            for ox in 0..ow {
                let (mut value, mut count) = (pool.op.init(), 0);
                for iy in taps(0, oy, h) {
                    for ix in taps(1, ox, w) {
                        value = pool.op.step(value, plane[iy * w + ix]);
                        count += 1;
                    }
                }
                y.push(if pool.op == ReduceOp::Mean { value / count as f32 } else { value });
            }
        }
    }
    y
}

/// `x` and the result are N, C, H, W.
pub fn resize(resize: &Resize, x: &[f32], shape: &[usize], out: &[usize]) -> Vec<f32> {
    let (h, w) = (shape[2], shape[3]);
    let rows = sources(resize, h, out[2]);
    let columns = sources(resize, w, out[3]);
    let mut y = Vec::with_capacity(out.iter().product());
    for plane in x.chunks_exact(h * w) {
        for &(y0, y1, dy) in &rows {
            for &(x0, x1, dx) in &columns {
                let line = |y: usize| plane[y * w + x0] * (1.0 - dx) + plane[y * w + x1] * dx;
                y.push(line(y0) * (1.0 - dy) + line(y1) * dy);
            }
        }
    }
    y
}

/// For each output index its source, for a resize to the nearest pixel.
pub fn nearest(resize: &Resize, input: usize, output: usize) -> Vec<usize> {
    sources(resize, input, output).into_iter().map(|s| s.0).collect()
}

/// For each output index its two source indices and the weight of the second.
pub fn sources(resize: &Resize, input: usize, output: usize) -> Vec<(usize, usize, f32)> {
    let scale = if resize.align_corners && output > 1 {
        (input - 1) as f32 / (output - 1) as f32
    } else {
        input as f32 / output as f32
    };
    (0..output)
        .map(|o| {
            let o = o as f32;
            if resize.bilinear {
                let source = if resize.half_pixel { (o + 0.5) * scale - 0.5 } else { o * scale };
                let source = source.clamp(0.0, (input - 1) as f32);
                let low = source.floor() as usize;
                (low, (low + 1).min(input - 1), source - low as f32)
            } else {
                let source = if resize.half_pixel { (o + 0.5) * scale } else { o * scale };
                let source = if resize.align_corners { source.round() } else { source.floor() };
                let nearest = (source as usize).min(input - 1);
                (nearest, nearest, 0.0)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Window;

    #[test]
    fn the_mean_counts_pixels_inside_only() {
        let window =
            Window { kernel: [2, 2], stride: [2, 2], dilation: [1, 1], pad: [(0, 1), (0, 1)] };
        let pool_ = Pool { op: ReduceOp::Mean, window };
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        assert_eq!(pool(&pool_, &x, &[1, 1, 3, 3], &[1, 1, 2, 2]), [3.0, 4.5, 7.5, 9.0]);
    }

    #[test]
    fn resizing_by_two() {
        let mode = |bilinear, half_pixel| Resize { bilinear, align_corners: false, half_pixel };
        let x = [0.0, 4.0];
        let run = |mode| resize(&mode, &x, &[1, 1, 1, 2], &[1, 1, 1, 4]);
        assert_eq!(run(mode(false, false)), [0.0, 0.0, 4.0, 4.0]);
        assert_eq!(run(mode(true, false)), [0.0, 2.0, 4.0, 4.0]);
        assert_eq!(run(mode(true, true)), [0.0, 1.0, 3.0, 4.0]);
    }
}
