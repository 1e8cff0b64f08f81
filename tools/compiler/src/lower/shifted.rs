//! Kernels that the KPU does not have: larger than 3x3, dilated or with an even number of taps.
//!
//! The KPU adds up all channels of a pixel before it rounds. Copies of the input, each shifted by some
//! pixels, side by side in one image, bring any tap into reach of a 3x3 kernel: the sum is exact.

use std::collections::HashMap;

use maix_kpu::{
    kpu::{
        layer::{Kernel, Layer, Pool},
        memory::{KPU_RAM_ROWS, RowLayout, rows},
    },
    tensor::{Dtype, ImageShape},
};

use super::{
    Frame, KpuHome, Lowering,
    convolution::{Plan, lost_by},
    join::rows_before,
};
use crate::{
    estimate::{Clocks, Work},
    graph::{TensorId, Window},
    problem::Problem,
    program::{KpuLayer, Place, StepOp, ValueId},
    quantize::kpu::Convolution,
};

/// A shift along one axis, and the kernel's tap that the pixels before, at and behind a result see.
#[derive(Clone, Debug, PartialEq)]
struct Shift {
    by: isize,
    taps: [Option<usize>; 3],
}

/// What a kernel needs along one axis.
#[derive(Clone, Debug)]
struct Axis {
    /// Image position of the first result.
    first: usize,
    shifts: Vec<Shift>,
}

/// The results of an operator along one axis.
struct Results {
    count: usize,
    /// Distance of results in the image.
    step: usize,
    /// Window and step of the pool behind.
    pool: usize,
}

impl Axis {
    /// The fewest shifts with which the kernel is walked over an image along `axis`.
    fn new(frame: &Frame, window: &Window, axis: usize, results: &Results) -> Option<Self> {
        let stride = results.step * results.pool;
        let spare = (frame.size[axis] / stride).checked_sub(results.count / results.pool)?;
        (0..=spare.min(window.extent(axis)))
            .filter_map(|lead| {
                let first = lead * stride;
                let shifts = shifts(frame, window, axis, results, first)?;
                Some(Self { first, shifts })
            })
            .min_by_key(|found| cost(&found.shifts))
    }
}

/// How many shifts there are, and how far they go.
fn cost(shifts: &[Shift]) -> (usize, usize) {
    (shifts.len(), shifts.iter().map(|s| s.by.unsigned_abs()).sum())
}

/// The fewest shifts for results that begin at `first`, or `None` if there are none.
fn shifts(
    frame: &Frame,
    window: &Window,
    axis: usize,
    results: &Results,
    first: usize,
) -> Option<Vec<Shift>> {
    let (before, inner, size) = (frame.before[axis], frame.inner[axis], frame.size[axis]);
    let origin = before as isize - window.pad[axis].0 as isize - first as isize;
    let positions = || (0..results.count).map(|o| (first + o * results.step) as isize);
    let in_tensor = |at: isize| (before as isize..(before + inner) as isize).contains(&at);
    let in_image = |at: isize| (0..size as isize).contains(&at);
    // Whether the pixel at distance `d` of the image shifted by `by` is the right one for each result.
    // A shifted image has zeros where it shows what is outside, and the KPU sees zeros around it.
    let sees = |by: isize, d: isize| {
        positions().all(|p| {
            let pixel = p + d + by;
            if in_image(p + d) {
                in_tensor(pixel) || !in_image(pixel) || frame.clean
            } else {
                !in_tensor(pixel)
            }
        })
    };
    let taps: Vec<(usize, isize)> = (0..window.kernel[axis])
        .map(|tap| (tap, origin + (tap * window.dilation[axis]) as isize))
        .filter(|&(_, t)| positions().any(|p| in_tensor(p + t)))
        .collect();
    let mut best = None;
    cover(&taps, &sees, &mut Vec::new(), &mut best);
    best
}

/// Most shifts along one axis.
const MOST_SHIFTS: usize = 7;

/// Finds the cheapest shifts that, with those in `chosen`, see all `taps` (index and distance from the result).
fn cover(
    taps: &[(usize, isize)],
    sees: &dyn Fn(isize, isize) -> bool,
    chosen: &mut Vec<isize>,
    best: &mut Option<Vec<Shift>>,
) {
    let seen_by = |by: isize, t: isize| (-1..=1).contains(&(t - by)) && sees(by, t - by);
    let missing = taps.iter().find(|&&(_, t)| !chosen.iter().any(|&by| seen_by(by, t)));
    let Some(&(_, t)) = missing else {
        let mut shifts: Vec<Shift> =
            chosen.iter().map(|&by| Shift { by, taps: [None; 3] }).collect();
        for &(tap, t) in taps {
            let shift = shifts.iter_mut().find(|s| seen_by(s.by, t)).expect("all are seen");
            shift.taps[(t - shift.by + 1) as usize] = Some(tap);
        }
        if best.as_ref().is_none_or(|b| cost(&shifts) < cost(b)) {
            *best = Some(shifts);
        }
        return;
    };
    let so_far = (chosen.len() + 1, chosen.iter().map(|by| by.unsigned_abs()).sum());
    if so_far.0 > MOST_SHIFTS || best.as_ref().is_some_and(|b| so_far >= cost(b)) {
        return;
    }
    for by in [t + 1, t, t - 1] {
        if seen_by(by, t) {
            chosen.push(by);
            cover(taps, sees, chosen, best);
            chosen.pop();
        }
    }
}

/// Where the copies and the result lie.
struct Layout {
    frame: Frame,
    axes: [Axis; 2],
    /// Channels from one copy to the next.
    pitch: usize,
    /// The KPU's own stepping.
    pool: Pool,
    out: Frame,
}

impl Layout {
    fn new(plan: &Plan<'_>, frame: Frame, channels: usize) -> Option<Self> {
        let window = &plan.window;
        let (pool, step) = match (window.stride, plan.pool) {
            ([1, 1], pool) => (pool, 1),
            ([2, 2], Pool::None) => (Pool::LeftTop2, 2),
            ([4, 4], Pool::None) => (Pool::LeftTop4, 4),
            _ => return None,
        };
        let mut out = Frame { before: [0; 2], inner: [0; 2], size: [0; 2], clean: false };
        let mut along = |axis: usize| {
            let count = window.output(axis, frame.inner[axis])?;
            let results = Results { count, step, pool: plan.pool.stride() };
            let found = Axis::new(&frame, window, axis, &results)?;
            let stride = step * results.pool;
            out.before[axis] = found.first / stride;
            out.inner[axis] = count / results.pool;
            out.size[axis] = frame.size[axis] / stride;
            Some(found)
        };
        let axes = [along(0)?, along(1)?];
        out.clean = out.is_exact();
        let pitch = channels.next_multiple_of(RowLayout::of(frame.size[1]).group);
        let possible = frame.is_possible() && out.inner.iter().all(|&n| n > 0);
        possible.then_some(Self { frame, axes, pitch, pool, out })
    }

    /// The shifts of the copies.
    fn shifts(&self) -> Vec<[isize; 2]> {
        let [vertical, horizontal] = &self.axes;
        let pair = |y: &Shift| {
            let y = y.by;
            horizontal.shifts.iter().map(move |x| [y, x.by])
        };
        vertical.shifts.iter().flat_map(pair).collect()
    }

    /// All copies together.
    fn image(&self) -> ImageShape {
        self.images(self.shifts().len())
    }

    fn images(&self, count: usize) -> ImageShape {
        ImageShape::new(count * self.pitch, self.frame.size[0], self.frame.size[1])
    }

    /// One row of 3x3 weights for each result.
    fn weights(&self, plan: &Plan<'_>, channels: usize) -> Vec<f32> {
        let [kh, kw] = plan.window.kernel;
        let width = self.image().channels * 9;
        let mut weights = vec![0.0; plan.bias.len() * width];
        let [vertical, horizontal] = &self.axes;
        for (to, from) in
            weights.chunks_exact_mut(width).zip(plan.weights.chunks_exact(channels * kh * kw))
        {
            let copies =
                vertical.shifts.iter().flat_map(|y| horizontal.shifts.iter().map(move |x| (y, x)));
            for ((y, x), copy) in copies.zip(to.chunks_exact_mut(self.pitch * 9)) {
                for (channel, to) in copy.chunks_exact_mut(9).take(channels).enumerate() {
                    for (i, tap) in to.iter_mut().enumerate() {
                        if let (Some(ky), Some(kx)) = (y.taps[i / 3], x.taps[i % 3]) {
                            *tap = from[(channel * kh + ky) * kw + kx];
                        }
                    }
                }
            }
        }
        weights
    }

    /// Estimated milliseconds on the KPU, or `None` if it cannot have such layers.
    fn milliseconds(&self, plan: &Plan<'_>, channels: usize) -> Option<f64> {
        let single = ImageShape { channels, ..self.image() };
        let copy =
            Layer::new(single, channels, Kernel::K3x3, channels > 1, Pool::None, true).ok()?;
        let sum =
            Layer::new(self.image(), plan.bias.len(), Kernel::K3x3, false, self.pool, true).ok()?;
        let shifts = self.shifts();
        let copies = with_steps(&shifts).len() + shifts.len();
        let time =
            |layer| Work::Kpu { layer, eight_bit: true, batches: 1 }.milliseconds(Clocks::USUAL);
        Some(copies as f64 * time(copy) + time(sum))
    }

    /// Whether the KPU's memory holds the input, the copies and what they are made of, and the result.
    fn fits(&self, plan: &Plan<'_>) -> bool {
        let shifts = self.shifts();
        let steps = with_steps(&shifts).into_iter().filter(|s| !shifts.contains(s)).count();
        let result = ImageShape::new(plan.bias.len(), self.out.size[0], self.out.size[1]);
        rows(self.images(1 + shifts.len() + steps)) <= KPU_RAM_ROWS
            && rows(self.image()) + rows(result) <= KPU_RAM_ROWS
    }
}

/// One pixel nearer to no shift, along both axes.
fn nearer(shift: [isize; 2]) -> [isize; 2] {
    shift.map(|s| s - s.signum())
}

/// The shifts, and those that lie on the way to them; a layer shifts by one pixel.
fn with_steps(shifts: &[[isize; 2]]) -> Vec<[isize; 2]> {
    let mut all = Vec::new();
    for &shift in shifts {
        let mut at = shift;
        while at != [0, 0] && !all.contains(&at) {
            all.push(at);
            at = nearer(at);
        }
    }
    all
}

impl Lowering<'_> {
    /// A convolution with a kernel that the KPU does not have, if the KPU is faster than the CPU.
    pub(super) fn run_shifted(&mut self, plan: &Plan<'_>) -> Result<bool, Problem> {
        let Some((channels, inner)) = self.planes(plan.input) else { return Ok(false) };
        let home = self.homes[plan.input].kpu.map(|home| home.frame);
        let macs = self.graph.macs(&self.graph.nodes[self.at]);
        // The CPU takes its input, and gives its result, as floats.
        let converted = [plan.input, plan.output].map(|id| self.graph.tensors[id].elements());
        let [input, output] = converted.map(|elements| Work::Simple(elements as u64));
        let on_cpu: f64 = [input, Work::FloatMacs(macs), output]
            .iter()
            .map(|w| w.milliseconds(Clocks::USUAL))
            .sum();
        let layout =
            home.into_iter().chain([Frame::framed(inner, plan.window.stride)]).find_map(|frame| {
                let layout = Layout::new(plan, frame, channels)?;
                let on_kpu = layout.milliseconds(plan, channels)?;
                (layout.fits(plan) && on_kpu < on_cpu).then_some(layout)
            });
        let Some(layout) = layout else { return Ok(false) };
        let source = self.in_kpu(plan.input, layout.frame)?;
        let shifts = layout.shifts();
        let copies = if shifts == [[0, 0]] && layout.pitch == channels {
            source
        } else {
            self.copies(plan.input, &layout, source, &shifts)
        };
        let (input, output) = (self.q(plan.input), self.q(plan.output));
        let means = &self.stats[plan.input].channel_means;
        let parameters = Convolution {
            weights: &layout.weights(plan, channels),
            bias: &plan.bias,
            input_means: &|_, tap| means.get(tap / 9 % layout.pitch).copied().unwrap_or(0.0),
            input_scale: input.scale,
            input_zero: &|_, _| input.zero,
            function: &plan.function,
            range: plan.range,
            output,
            output_offset: lost_by(layout.pool),
        }
        .quantize();
        let layer = KpuLayer {
            depthwise: false,
            kernel: Kernel::K3x3,
            pool: layout.pool,
            pad_value: input.zero_byte(),
            skip_lines: 0,
            parameters,
        };
        let (value, step) = self.kpu_layer(layer, copies, plan.bias.len(), Some(plan.output));
        self.homes[plan.output].kpu =
            Some(KpuHome { value, frame: layout.out, producer: Some(step) });
        Ok(true)
    }

    /// The image of all copies.
    fn copies(
        &mut self,
        id: TensorId,
        layout: &Layout,
        source: ValueId,
        shifts: &[[isize; 2]],
    ) -> ValueId {
        let whole = layout.image();
        let single = ImageShape { channels: self.program.values[source].shape[1], ..whole };
        let whole = self.kpu_image(whole);
        let mut images = HashMap::from([([0, 0], source)]);
        let mut steps = with_steps(shifts);
        steps.sort_by_key(|s| s.map(isize::unsigned_abs).into_iter().max());
        steps.extend(shifts.iter().filter(|&&s| s == [0, 0]));
        for shift in steps {
            let image = self.kpu_image(single);
            if let Some(i) = shifts.iter().position(|&s| s == shift) {
                let place = (whole, rows_before(i * layout.pitch, single));
                self.program.values[image].within = Some(place);
            }
            let layer = self.moved(id, shift.map(isize::signum), self.q(id));
            let from = images[&nearer(shift)];
            self.step(StepOp::Kpu(Box::new(layer)), vec![from], vec![image]);
            images.insert(shift, image);
        }
        whole
    }

    /// A new image that is no tensor of the graph.
    fn kpu_image(&mut self, shape: ImageShape) -> ValueId {
        let shape = [1, shape.channels, shape.height, shape.width];
        self.program.value(Dtype::U8, shape, Place::Kpu, None)
    }
}
