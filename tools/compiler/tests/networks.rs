//! Whole networks with random weights: they compile, run mostly on the KPU, and stay near the float
//! model. The timings are measured with
//! `cargo test --release -p kmodel-compiler --test networks -- --ignored --nocapture`.

mod common;

use common::{
    Likeness, Random, likeness, outputs, picture,
    tflite::{Data, Field, Model},
};
use kmodel_compiler::{
    Options, Report, compile, eval,
    import::{self, InputFormat},
    options::ElementType,
};

/// A network under construction: the last tensor and its shape (N, H, W, C).
struct Network {
    model: Model,
    random: Random,
    at: i32,
    shape: [usize; 4],
}

impl Network {
    fn new(size: usize, channels: usize) -> Self {
        let shape = [1, size, size, channels];
        Self { model: Model::new(&shape), random: Random(0xABCDEF), at: 0, shape }
    }

    /// Convolution with weights that keep the size of values; `activation` 0 none, 1 relu, 3 relu6.
    fn conv(&mut self, channels: usize, kernel: usize, stride: usize, activation: u8) {
        let [_, h, w, c] = self.shape;
        let limit = (6.0 / (kernel * kernel * c) as f32).sqrt();
        let weights = self.random.list(channels * kernel * kernel * c, limit);
        let weights = self.model.tensor(&[channels, kernel, kernel, c], Data::Floats(weights));
        self.layer(3, weights, channels, [h, w], stride, vec![(3, Field::Byte(activation))]);
    }

    fn depthwise(&mut self, stride: usize) {
        let [_, h, w, c] = self.shape;
        let weights = self.random.list(9 * c, 0.8);
        let weights = self.model.tensor(&[1, 3, 3, c], Data::Floats(weights));
        self.layer(4, weights, c, [h, w], stride, vec![(3, Field::Int(1)), (4, Field::Byte(3))]);
    }

    fn layer(
        &mut self,
        code: i32,
        weights: i32,
        channels: usize,
        [h, w]: [usize; 2],
        stride: usize,
        mut options: Vec<(u16, Field)>,
    ) {
        let bias = self.random.list(channels, 0.2);
        let bias = self.model.tensor(&[channels], Data::Floats(bias));
        self.shape = [1, h.div_ceil(stride), w.div_ceil(stride), channels];
        let step = Field::Int(stride as i32);
        options.extend([(0, Field::Byte(0)), (1, step), (2, step)]);
        self.at = self.model.push(code, &[self.at, weights, bias], &self.shape, &options);
    }

    /// MobileNetV2's block.
    fn bottleneck(&mut self, channels: usize, expansion: usize, stride: usize) {
        let (before, input) = (self.at, self.shape);
        if expansion > 1 {
            self.conv(input[3] * expansion, 1, 1, 3);
        }
        self.depthwise(stride);
        self.conv(channels, 1, 1, 0);
        if stride == 1 && input[3] == channels {
            self.at = self.model.push(0, &[before, self.at], &self.shape, &[]);
        }
    }

    /// LFFD's block.
    fn residual(&mut self) {
        let (before, channels) = (self.at, self.shape[3]);
        self.conv(channels, 3, 1, 1);
        self.conv(channels, 3, 1, 0);
        let relu = [(0, Field::Byte(1))];
        self.at = self.model.push(0, &[before, self.at], &self.shape, &relu);
    }

    /// LFFD's detection branch: faces (yes, no) and boxes of one size.
    fn branch(&mut self) {
        let (stem, stem_shape) = (self.at, self.shape);
        self.conv(stem_shape[3], 1, 1, 1);
        let (at, shape) = (self.at, self.shape);
        for results in [2, 4] {
            (self.at, self.shape) = (at, shape);
            self.conv(shape[3], 1, 1, 1);
            self.conv(results, 1, 1, 0);
            self.model.outputs.push(self.at);
        }
        (self.at, self.shape) = (stem, stem_shape);
    }

    fn dense(&mut self, outputs: usize, activation: u8) {
        let inputs: usize = self.shape.iter().product();
        let weights = self.random.list(outputs * inputs, (6.0 / inputs as f32).sqrt());
        let weights = self.model.tensor(&[outputs, inputs], Data::Floats(weights));
        let bias = self.random.list(outputs, 0.2);
        let bias = self.model.tensor(&[outputs], Data::Floats(bias));
        let options = [(0, Field::Byte(activation))];
        self.at = self.model.push(9, &[self.at, weights, bias], &[1, outputs], &options);
        self.shape = [1, 1, 1, outputs];
    }

    fn softmax(&mut self) {
        let shape = [1, self.shape[3]];
        self.at = self.model.push(25, &[self.at], &shape, &[(0, Field::Float(1.0))]);
    }

    fn pool(&mut self) {
        let [_, h, w, c] = self.shape;
        self.shape = [1, h / 2, w / 2, c];
        let two = Field::Int(2);
        let options = [(0, Field::Byte(1)), (1, two), (2, two), (3, two), (4, two)];
        self.at = self.model.push(17, &[self.at], &self.shape, &options);
    }

    /// Transposed convolution of step 2, then the concatenation with `other`.
    fn up(&mut self, channels: usize, other: i32, other_channels: usize) {
        let [_, h, w, c] = self.shape;
        let out = [1, 2 * h, 2 * w, channels];
        let size = self.model.tensor(&[4], Data::Ints(out.map(|d| d as i32).to_vec()));
        let weights = self.random.list(channels * 4 * c, (3.0 / c as f32).sqrt());
        let weights = self.model.tensor(&[channels, 2, 2, c], Data::Floats(weights));
        let two = Field::Int(2);
        let up = self.model.push(67, &[size, weights, self.at], &out, &[(1, two), (2, two)]);
        self.shape = [1, 2 * h, 2 * w, channels + other_channels];
        self.at = self.model.push(2, &[up, other], &self.shape, &[(0, Field::Int(3))]);
    }

    fn classifier(&mut self, classes: usize) {
        let channels = self.shape[3];
        let axes = self.model.tensor(&[2], Data::Ints(vec![1, 2]));
        self.at = self.model.push(40, &[self.at, axes], &[1, channels], &[]);
        self.shape = [1, 1, 1, channels];
        self.dense(classes, 0);
        self.softmax();
    }
}

fn mobilenet_v1(size: usize, alpha: f32) -> Model {
    let mut n = Network::new(size, 3);
    let wide = |c: usize| (c as f32 * alpha) as usize;
    n.conv(wide(32), 3, 2, 3);
    for (channels, stride) in [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
        .into_iter()
        .chain([(512, 1); 5])
        .chain([(1024, 2), (1024, 1)])
    {
        n.depthwise(stride);
        n.conv(wide(channels), 1, 1, 3);
    }
    n.classifier(100);
    n.model
}

fn mobilenet_v2(size: usize, alpha: f32) -> Model {
    let mut n = Network::new(size, 3);
    let wide = |c: usize| ((c as f32 * alpha) as usize).next_multiple_of(8);
    n.conv(wide(32), 3, 2, 3);
    for (expansion, channels, count, stride) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for i in 0..count {
            n.bottleneck(wide(channels), expansion, if i == 0 { stride } else { 1 });
        }
    }
    n.conv(1280, 1, 1, 3);
    n.classifier(100);
    n.model
}

fn yolo_tiny(size: usize) -> Model {
    let mut n = Network::new(size, 3);
    for channels in [16, 32, 64, 128] {
        n.conv(channels, 3, 1, 1);
        n.pool();
    }
    n.conv(256, 3, 1, 1);
    n.conv(30, 1, 1, 0);
    n.model
}

fn lffd(size: usize) -> Model {
    let mut n = Network::new(size, 3);
    n.conv(16, 3, 2, 1);
    for (channels, blocks) in [(32, 3), (32, 2), (64, 1)] {
        n.conv(channels, 3, 2, 1);
        (0..blocks).for_each(|_| n.residual());
        n.branch();
    }
    n.model
}

fn lenet(size: usize) -> Model {
    let mut n = Network::new(size, 1);
    n.conv(6, 5, 1, 1);
    n.pool();
    n.conv(16, 5, 1, 1);
    n.pool();
    n.dense(120, 1);
    n.dense(84, 1);
    n.dense(10, 0);
    n.softmax();
    n.model
}

fn unet(size: usize) -> Model {
    let mut n = Network::new(size, 3);
    n.conv(8, 3, 1, 1);
    let first = n.at;
    n.pool();
    n.conv(16, 3, 1, 1);
    let second = n.at;
    n.pool();
    n.conv(32, 3, 1, 1);
    n.up(16, second, 16);
    n.conv(16, 3, 1, 1);
    n.up(8, first, 8);
    n.conv(8, 3, 1, 1);
    n.conv(4, 1, 1, 0);
    n.model
}

/// Compiles with eight pictures and compares on three that calibration has not seen, all outputs together.
fn check(name: &str, model: &Model, inference_type: ElementType) -> (Report, Likeness) {
    let bytes = model.bytes();
    let graph = import::import(&bytes, InputFormat::Tflite, None).unwrap().graph;
    let shape = graph.shape(graph.inputs[0]);
    let samples: Vec<Vec<f32>> = (1..=8).map(|seed| picture(shape, seed)).collect();
    let options = Options {
        inference_type,
        input_range: Some((0.0, 1.0)),
        float_fallback: false,
        ..common::raw(common::write_raw(&format!("network_{name}"), &samples))
    };
    let compiled = compile(&bytes, &options, &mut |_, _, _| {}).unwrap_or_else(|p| {
        panic!("{name}: {}", p.iter().map(|p| format!("{p}\n")).collect::<String>())
    });
    let (mut expected, mut got) = (Vec::new(), Vec::new());
    for seed in 100..103 {
        let input = picture(shape, seed);
        for output in eval::run(&graph, &[&input], &mut |_, _| {}) {
            expected.extend_from_slice(&output);
        }
        got.extend(outputs(&compiled.kmodel, &[input], (0.0, 1.0)).unwrap().concat());
    }
    (compiled.report, likeness(&expected, &got))
}

/// No convolution and no sum runs on the CPU.
fn computes_on_the_kpu(report: &Report) {
    let slow =
        |r: &&kmodel_compiler::report::Row| ["conv2d", "quantized binary"].contains(&r.operator);
    let slow: Vec<&str> = report.rows.iter().filter(slow).map(|r| r.node.as_str()).collect();
    assert!(slow.is_empty(), "on the CPU: {slow:?}\n{report}");
}

#[test]
fn networks_are_near_the_float_model() {
    let mut table = String::from(
        "| network | type | cosine | largest difference | dB | worst layer: dB | KPU RAM |\n|---|---|--:|--:|--:|--:|--:|\n",
    );
    let (uint8, float) = (ElementType::Uint8, ElementType::Float);
    for (name, model, inference_type, cosine) in [
        ("MobileNetV1 0.25, 96x96", mobilenet_v1(96, 0.25), uint8, 0.99),
        ("MobileNetV2 0.5, 128x128", mobilenet_v2(128, 0.5), uint8, 0.95),
        ("YOLOv2-like, 96x96", yolo_tiny(96), uint8, 0.99),
        ("LFFD-like with three branches, 128x128", lffd(128), uint8, 0.99),
        ("U-Net with transposed convolutions, 64x64", unet(64), uint8, 0.99),
        ("LeNet, 28x28", lenet(28), float, 0.999_999),
    ] {
        let (report, likeness) = check(name, &model, inference_type);
        assert!(likeness.cosine >= cosine, "{name}: {likeness:?}\n{report}");
        if inference_type == uint8 {
            computes_on_the_kpu(&report);
        }
        let worst = report.rows.iter().filter_map(|row| row.decibels).fold(f64::INFINITY, f64::min);
        table += &format!(
            "| {name} | {} | {:.5} | {:.1e} | {:.1} | {worst:.1} | {} |\n",
            if inference_type == uint8 { "uint8" } else { "float" },
            likeness.cosine,
            likeness.largest,
            likeness.decibels,
            report.kpu_ram_bytes
        );
    }
    println!("{table}");
    common::update_docs("networks", &table);
}

#[test]
#[ignore = "a measurement; needs a release build"]
fn timings() {
    for (name, model) in
        [("V1 0.5/224", mobilenet_v1(224, 0.5)), ("V2 1.0/224", mobilenet_v2(224, 1.0))]
    {
        let bytes = model.bytes();
        let samples: Vec<Vec<f32>> = (1..=100).map(|s| picture(&[1, 3, 224, 224], s)).collect();
        let folder = common::write_raw("timing", &samples);
        let options = Options { input_range: Some((0.0, 1.0)), ..common::raw(folder) };
        drop(samples);
        let start = std::time::Instant::now();
        let compiled =
            compile(&bytes, &options, &mut |_, _, _| {}).unwrap_or_else(|p| panic!("{}", p[0]));
        let seconds = start.elapsed().as_secs_f64();
        let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = memory.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default().to_string();
        println!(
            "{name}: {seconds:.1} s, {} bytes, KPU RAM {}, {peak}",
            compiled.kmodel.len(),
            compiled.report.kpu_ram_bytes
        );
    }
}
