//! Kernels other than 1x1 and 3x3 run on the KPU, exactly summed.

mod common;

use common::{
    Random, against_float, outputs,
    tflite::{Data, Field, Model},
};
use kmodel_compiler::{
    Compiled, Options, compile,
    import::{self, InputFormat},
};

const RANGE: (f32, f32) = (-2.0, 2.0);

fn compiled(name: &str, model: &Model) -> (Compiled, Vec<Vec<f32>>) {
    let bytes = model.bytes();
    let graph = import::import(&bytes, InputFormat::Tflite, None).unwrap().graph;
    let count = graph.tensors[graph.inputs[0]].elements();
    let mut random = Random(0x5EED);
    let samples: Vec<Vec<f32>> = (0..4).map(|_| random.list(count, RANGE.1)).collect();
    let options = Options {
        input_range: Some(RANGE),
        ..common::raw(common::write_raw(&format!("kernels_{name}"), &samples))
    };
    let compiled =
        compile(&bytes, &options, &mut |_, _, _| {}).unwrap_or_else(|p| panic!("{name}: {}", p[0]));
    (compiled, samples)
}

/// Runs on the KPU alone, and near to the float model.
fn check(name: &str, model: &Model) {
    let graph = import::import(&model.bytes(), InputFormat::Tflite, None).unwrap().graph;
    let (compiled, samples) = compiled(name, model);
    let likeness = against_float(name, &graph, &compiled.kmodel, &samples, RANGE);
    assert!(likeness.decibels > 30.0, "{name}: {likeness:?}\n{}", compiled.report);
    let on_cpu = compiled.report.rows.iter().any(|r| r.operator == "conv2d");
    assert!(!on_cpu, "{name}\n{}", compiled.report);
}

/// A convolution from shape `[1, h, w, c]`, and its result's size.
struct Conv {
    kernel: [usize; 2],
    step: usize,
    dilation: usize,
    valid: bool,
}

impl Conv {
    fn push(
        &self,
        m: &mut Model,
        random: &mut Random,
        x: i32,
        from: [usize; 3],
        c: usize,
    ) -> (i32, [usize; 3]) {
        let [kh, kw] = self.kernel;
        let size = |axis: usize| {
            let extent = (self.kernel[axis] - 1) * self.dilation + 1;
            let room = if self.valid { from[axis] + 1 - extent } else { from[axis] };
            room.div_ceil(self.step)
        };
        let limit = (3.0 / (kh * kw * from[2]) as f32).sqrt();
        let w = m
            .tensor(&[c, kh, kw, from[2]], Data::Floats(random.list(c * kh * kw * from[2], limit)));
        let b = m.tensor(&[c], Data::Floats(random.list(c, 0.3)));
        let shape = [size(0), size(1), c];
        let (step, dilation) = (Field::Int(self.step as i32), Field::Int(self.dilation as i32));
        let options = [
            (0, Field::Byte(self.valid.into())),
            (1, step),
            (2, step),
            (3, Field::Byte(random.pick(&[0, 1, 3]))),
            (4, dilation),
            (5, dilation),
        ];
        (m.push(3, &[x, w, b], &[1, shape[0], shape[1], c], &options), shape)
    }
}

#[test]
fn of_every_size_step_border_and_dilation() {
    let mut random = Random(0xC0DE);
    for case in 0..40 {
        let conv = Conv {
            kernel: [random.whole(1, 7), random.whole(1, 7)],
            step: random.pick(&[1, 1, 2]),
            dilation: random.pick(&[1, 1, 1, 2, 3]),
            valid: random.whole(0, 1) == 1,
        };
        if conv.dilation > 1 && conv.step > 1 {
            continue;
        }
        let least = |axis: usize| ((conv.kernel[axis] - 1) * conv.dilation + conv.step).max(8);
        let from =
            [least(0) + random.whole(0, 20), least(1) + random.whole(0, 30), random.whole(2, 8)];
        let outs = random.whole(40, 60);
        let mut m = Model::new(&[1, from[0], from[1], from[2]]);
        // From KPU RAM or from the caller.
        let first = Conv { kernel: [1, 1], step: 1, dilation: 1, valid: true };
        let x = if case % 2 == 0 { first.push(&mut m, &mut random, 0, from, from[2]).0 } else { 0 };
        conv.push(&mut m, &mut random, x, from, outs);
        let name = format!(
            "{case}_{from:?}_{:?}_step_{}_dilation_{}_valid_{}",
            conv.kernel, conv.step, conv.dilation, conv.valid
        );
        check(&name.replace([' ', '[', ']', ','], "_"), &m);
    }
}

/// The ends of ResNet18 and tiny YOLOv2: the KPU loads the weights of a layer in 64 portions at most.
#[test]
fn of_more_weights_than_a_layer_can_load() {
    let mut random = Random(0x512);
    for (case, [from, to]) in [[512, 388], [1000, 200]].into_iter().enumerate() {
        let conv = |kernel| Conv { kernel: [kernel; 2], step: 1, dilation: 1, valid: false };
        let mut m = Model::new(&[1, 4, 4, 3]);
        let (x, shape) = conv(1).push(&mut m, &mut random, 0, [4, 4, 3], from);
        let (x, shape) = conv(3).push(&mut m, &mut random, x, shape, to);
        conv(1).push(&mut m, &mut random, x, shape, 5);
        check(&format!("loads_{case}"), &m);
    }
}

/// A kernel of 5x5 with taps in one corner is one of 3x3 over an image with a border on one side.
#[test]
fn copies_are_exact() {
    for corner in [0, 2] {
        let (mut a, mut b) = (Model::new(&[1, 12, 20, 3]), Model::new(&[1, 12, 20, 3]));
        let mut random = Random(11);
        let taps = random.list(40 * 9 * 3, 0.4);
        let mut wide = vec![0.0; 40 * 25 * 3];
        for (i, &tap) in taps.iter().enumerate() {
            let (out, y, x, c) = (i / 27, i / 9 % 3, i / 3 % 3, i % 3);
            wide[((out * 5 + y + corner) * 5 + x + corner) * 3 + c] = tap;
        }
        let bias = random.list(40, 0.3);
        let one = [(1, Field::Int(1)), (2, Field::Int(1))];
        let w = a.tensor(&[40, 5, 5, 3], Data::Floats(wide));
        let bias_a = a.tensor(&[40], Data::Floats(bias.clone()));
        a.push(3, &[0, w, bias_a], &[1, 12, 20, 40], &[one[0], one[1], (0, Field::Byte(0))]);
        let (before, after) = if corner == 0 { (2, 0) } else { (0, 2) };
        let pads = Data::Ints(vec![0, 0, before, after, before, after, 0, 0]);
        let pads = b.tensor(&[4, 2], pads);
        let padded = b.push(34, &[0, pads], &[1, 14, 22, 3], &[]);
        let w = b.tensor(&[40, 3, 3, 3], Data::Floats(taps));
        let bias_b = b.tensor(&[40], Data::Floats(bias));
        b.push(3, &[padded, w, bias_b], &[1, 12, 20, 40], &[one[0], one[1], (0, Field::Byte(1))]);
        let (wide, samples) = compiled(&format!("wide_{corner}"), &a);
        let (small, _) = compiled(&format!("small_{corner}"), &b);
        for sample in samples {
            let [wide, small] = [&wide, &small]
                .map(|c| outputs(&c.kmodel, std::slice::from_ref(&sample), RANGE).unwrap());
            assert_eq!(wide, small);
        }
    }
}
