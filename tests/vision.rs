//! What the vision functions read from the outputs of real models, against what the original
//! firmware printed for the same pictures.

mod common;

use std::{fs, path::PathBuf};

use common::testdata;
use maix_kpu::{
    input::Input,
    kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::{Model, Source},
    session::{Requirements, Session},
    tensor::ImageShape,
    vision::{
        classifier::{Capacity, Classifier, File, Form},
        face, plate,
        yolo::{Detection, Limits, Rect},
        yolo2::Yolo2,
    },
};

const FACE_ANCHORS: [[f32; 2]; 5] = [
    [1.889, 2.5245],
    [2.9465, 3.94056],
    [3.99987, 5.3658],
    [5.155437, 6.92275],
    [6.718375, 9.01025],
];
const TWENTY_ANCHORS: [[f32; 2]; 5] =
    [[1.08, 1.19], [3.42, 4.41], [6.63, 11.38], [9.42, 5.11], [16.62, 10.52]];
const FACE: ImageShape = ImageShape::new(30, 15, 20);
const TWENTY: ImageShape = ImageShape::new(125, 7, 10);

fn read(path: PathBuf) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A script of the original firmware: what it printed, and the pictures that it fed.
struct Topic(PathBuf);

impl Topic {
    fn open(name: &str) -> Option<Self> {
        Some(Self(testdata("transcripts")?.join(name)))
    }

    fn text(&self) -> String {
        String::from_utf8(read(self.0.join("output.txt"))).unwrap()
    }

    /// The first output of a golden model for the picture of the given number.
    fn output(&self, model: &str, fed: usize) -> Vec<f32> {
        let file = read(testdata("golden").unwrap().join(model).join("model.kmodel"));
        let file: &dyn Source = &file.as_slice();
        let model = Model::open(file).unwrap();
        let mut memory = vec![0; Requirements::of(&model, file).unwrap().bytes()];
        let mut session = Session::new(model, file, &mut memory).unwrap();
        let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
        let mut simulator = Simulator::new(&mut ram, &mut scratch).unwrap();
        let picture = read(self.0.join(format!("inputs/fed_{fed}.bin")));
        session.forward(&mut simulator, &Input::Raw(&picture)).unwrap();
        session.output_floats(0).unwrap().to_vec()
    }
}

/// Fails unless the values agree to 1e-5 of the largest expected one.
#[track_caller]
fn assert_close(values: &[f32], expected: &[f32]) {
    assert_eq!(values.len(), expected.len());
    let largest = expected.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() <= 1e-5 * largest, "{value}, expected {expected}");
    }
}

/// The numbers of a list, up to the first other word.
fn numbers(list: &str) -> Vec<f32> {
    list.split(", ").map_while(|number| number.rsplit(':').next()?.parse().ok()).collect()
}

/// A printed box: rectangle, class, probability.
type Found = (Rect, u32, f32);

fn found(numbers: &[f32], class: usize, probability: usize) -> Option<Found> {
    let &[x, y, w, h, ..] = numbers else { return None };
    let rect = Rect { x: x as u32, y: y as u32, w: w as u32, h: h as u32 };
    Some((rect, *numbers.get(class)? as u32, *numbers.get(probability)?))
}

/// A line such as `[108, 30, 64, 86, 0, 0.9380116]`.
fn canmv_box(line: &str) -> Option<Found> {
    found(&numbers(line.strip_prefix('[')?.strip_suffix(']')?), 4, 5)
}

/// A line such as `{"x":108, "y":30, "w":64, "h":86, "value":0.938012, "classid":0, ...}`.
fn maixpy_box(line: &str) -> Option<Found> {
    found(&numbers(line.strip_prefix('{')?.strip_suffix('}')?), 5, 4)
}

/// The boxes behind each line that begins with threshold and NMS value, such as `0.5 0.3 True`.
fn runs(text: &str, parse: fn(&str) -> Option<Found>) -> Vec<(Limits, Vec<Found>)> {
    let mut runs: Vec<(Limits, Vec<Found>)> = Vec::new();
    for line in text.lines() {
        let words: Vec<f32> = line.split(' ').map_while(|word| word.parse().ok()).collect();
        if let [threshold, nms] = words[..] {
            runs.push((Limits { threshold, nms }, Vec::new()));
        } else if let (Some(found), Some((_, boxes))) = (parse(line), runs.last_mut()) {
            boxes.push(found);
        }
    }
    runs
}

/// The boxes of a script's runs, one to one, in their order.
fn check_boxes(name: &str, model: &str, shape: ImageShape, anchors: &[[f32; 2]], counts: &[usize]) {
    let Some(topic) = Topic::open(name) else { return };
    let parse = if name.starts_with("canmv") { canmv_box } else { maixpy_box };
    let runs = runs(&topic.text(), parse);
    assert_eq!(runs.iter().map(|(_, boxes)| boxes.len()).collect::<Vec<_>>(), counts);
    let output = topic.output(model, 0);
    let yolo = Yolo2::new(shape, anchors).unwrap();
    let mut memory = vec![Detection::default(); yolo.boxes()];
    for (limits, expected) in runs {
        let found = yolo.detect(&output, limits, &mut memory).unwrap();
        let boxes: Vec<_> = found.iter().map(|f| (f.region.rect(320, 240), f.class)).collect();
        assert_eq!(boxes, expected.iter().map(|e| (e.0, e.1)).collect::<Vec<_>>(), "{limits:?}");
        for (found, (.., probability)) in found.iter().zip(expected) {
            // MaixPy prints six digits behind the point.
            let allowed = (1e-5 * probability).max(6e-7);
            assert!((found.probability - probability).abs() <= allowed, "{found:?}");
        }
    }
}

#[test]
fn faces_as_maixpy_prints_them() {
    let counts = [1, 1, 1, 12, 0];
    check_boxes("maixpy/yolo2_face", "v3_facedetect_maix", FACE, &FACE_ANCHORS, &counts);
}

#[test]
fn faces_as_canmv_prints_them() {
    let counts = [1, 1, 12, 0];
    check_boxes("canmv/yolo2_face", "v3_facedetect_maix", FACE, &FACE_ANCHORS, &counts);
}

#[test]
fn twenty_classes_as_maixpy_prints_them() {
    let counts = [1, 1, 1, 15];
    check_boxes("maixpy/yolo2_20class", "v3_yolo20", TWENTY, &TWENTY_ANCHORS, &counts);
    let counts = [1, 1];
    check_boxes("maixpy/yolo2_20class_v4", "v4_yolo20_sdk", TWENTY, &TWENTY_ANCHORS, &counts);
}

/// Mask detectors on a picture of a bare face: one object, of class 0, in the middle of the face that
/// the face detector sees. Their anchors are not known, so that sizes are not compared.
#[test]
fn a_face_without_a_mask() {
    let Some(golden) = testdata("golden") else { return };
    for (name, channels, least) in
        [("v3_facemask_detect5", 35, 0.98), ("v3_facemask_detect9", 63, 0.99)]
    {
        let bytes = read(golden.join(name).join("output_natural_0.bin"));
        let output: Vec<f32> =
            bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
        let anchors = vec![[1.0, 1.0]; channels / 7];
        let yolo = Yolo2::new(ImageShape::new(channels, 8, 10), &anchors).unwrap();
        let mut memory = vec![Detection::default(); yolo.boxes()];
        let limits = Limits { threshold: 0.5, nms: 0.3 };
        let found = yolo.detect(&output, limits, &mut memory).unwrap();
        let [face] = found else { panic!("{name}: {found:?}") };
        assert_eq!((face.class, yolo.classes()), (0, 2), "{name}");
        assert!(face.probability >= least, "{name}: {face:?}");
        // The box of `faces_as_maixpy_prints_them`, on the net's canvas of 320x256.
        let (x, y) = (face.region.x * 320.0 - 140.0, face.region.y * 256.0 - 73.0);
        assert!(x.abs() < 12.0 && y.abs() < 12.0, "{name}: {x} {y}");
    }
}

/// The lines `img WxH [[x, y, w, h, class, probability]]`: pictures of another size than the net's.
#[test]
fn letterbox_as_canmv_prints_it() {
    let Some(topic) = Topic::open("canmv/yolo2_face") else { return };
    let output = topic.output("v3_facedetect_maix", 0);
    let yolo = Yolo2::new(FACE, &FACE_ANCHORS).unwrap();
    let mut memory = vec![Detection::default(); yolo.boxes()];
    let limits = Limits { threshold: 0.5, nms: 0.3 };
    let [face] = yolo.detect(&output, limits, &mut memory).unwrap() else { panic!("one face") };
    let mut pictures = 0;
    for line in topic.text().lines() {
        let Some((size, list)) = line.strip_prefix("img ").and_then(|l| l.split_once(" [")) else {
            continue;
        };
        let (w, h) = size.split_once('x').unwrap();
        let picture = (w.parse().unwrap(), h.parse().unwrap());
        let (expected, ..) = canmv_box(list.strip_suffix(']').unwrap()).unwrap();
        let region = face.region.unletterbox((320, 240), picture);
        assert_eq!(region.rect(picture.0, picture.1), expected, "{line}");
        pictures += 1;
    }
    assert_eq!(pictures, 2);
}

/// Lines `31 0 -15.59744 (-15.59744, ...)`: classes, the best one, its score, all scores.
#[test]
fn plate_as_canmv_prints_it() {
    let Some(topic) = Topic::open("canmv/lp_recog") else { return };
    let weights = read(testdata("transcripts").unwrap().join("inputs/lp_weight.bin"));
    let mut scores = [0.0; plate::SCORES];
    plate::recognize(&topic.output("v3_lp_recog", 0), &weights, &mut scores).unwrap();
    let text = topic.text();
    let lists = text.lines().filter_map(|line| line.strip_suffix(')')?.split_once(" ("));
    let expected: Vec<_> = lists.map(|(_, list)| numbers(list)).filter(|n| n.len() > 1).collect();
    assert_eq!(expected.len(), plate::CLASSES.len());
    for (head, expected) in plate::heads(&scores).zip(&expected) {
        assert_close(head, expected);
    }
}

/// Learns from the pictures that the script fed, in its order, and predicts what it predicted.
#[test]
fn classifier_as_maixpy_prints_it() {
    let Some(topic) = Topic::open("maixpy/classifier_basic") else { return };
    let feature = |fed| topic.output("v4_selflearn_mb025", fed);
    let capacity = Capacity { classes: 3, samples: 6, feature: 256 };
    let mut values = vec![0.0; capacity.values().unwrap()];
    let mut marks = vec![0; capacity.marks().unwrap()];
    let mut classifier = Classifier::new(capacity, &mut values, &mut marks).unwrap();
    for class in 0..3 {
        assert_eq!(classifier.add_class(&feature(class), None), Ok(class));
    }
    for sample in 0..6 {
        assert_eq!(classifier.add_sample(&feature(3 + sample)), Ok(sample));
    }
    classifier.train().unwrap();

    let mut file = Vec::new();
    let mut out = |piece: &[u8]| {
        file.extend_from_slice(piece);
        Ok(())
    };
    classifier.save(Form::Original, &mut out).unwrap();
    let text = topic.text();
    assert!(text.lines().any(|line| line == file.len().to_string()));
    let mut values = vec![0.0; capacity.values().unwrap()];
    let mut marks = vec![0; capacity.marks().unwrap()];
    let mut loaded = Classifier::new(capacity, &mut values, &mut marks).unwrap();
    loaded.load(&File::parse(&file).unwrap()).unwrap();

    // The firmware's v4 quantize rounds halves to even, ours away from zero as the compiler's
    // simulator does; a value of picture c lies on a half, which moves its feature.
    let pictures = [
        ("predict a", 0, 1e-5),
        ("predict var a", 11, 1e-5),
        ("predict b", 1, 1e-5),
        ("predict var b", 13, 1e-5),
        ("predict c", 2, 1e-2),
        ("predict var c", 15, 1e-5),
    ];
    for (name, fed, tolerance) in pictures {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} -> (")[..]));
        let expected = numbers(line.unwrap().strip_suffix(')').unwrap());
        for classifier in [&classifier, &loaded] {
            let nearest = classifier.predict(&feature(fed)).unwrap().unwrap();
            assert_eq!(nearest.class, expected[0] as usize, "{name}");
            let error = (nearest.distance - expected[1]).abs();
            assert!(error <= tolerance * expected[1], "{name}: {nearest:?}, not {expected:?}");
        }
    }
}

/// Features of two pictures: their first values, length 1, and how alike they are.
#[test]
fn features_as_canmv_prints_them() {
    let Some(topic) = Topic::open("canmv/feature_v4") else { return };
    let text = topic.text();
    let mut lines =
        text.lines().filter_map(|line| Some(line.strip_suffix(']')?.split_once('[')?.1));
    let mut expected = || numbers(lines.next().unwrap());
    let [mut a, mut b] = [0, 2].map(|fed| topic.output("v4_face_feature", fed));
    assert_close(&a[..8], &expected());
    face::normalize(&mut a);
    assert_close(&a[..8], &expected());
    face::normalize(&mut b);
    assert_close(&b[..8], &expected());
    let likeness = [face::similarity(&a, &a), face::similarity(&a, &b)].map(Result::unwrap);
    let last: Vec<f32> = text.lines().last().unwrap().split(' ').flat_map(str::parse).collect();
    assert_close(&likeness, &last[..2]);
}

/// Codes of two pictures; the original codes both ends as 128.
#[test]
fn codes_as_maixpy_prints_them() {
    let Some(topic) = Topic::open("maixpy/face_feature_v4") else { return };
    let text = topic.text();
    let lists = text.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    let lists: Vec<_> = lists.map(numbers).collect();
    assert_eq!(lists.len(), 2);
    for (fed, expected) in lists.iter().enumerate() {
        let feature = topic.output("v4_face_feature", fed);
        let mut codes = vec![0; feature.len()];
        face::encode(&feature, &mut codes).unwrap();
        assert_eq!(codes.len(), expected.len());
        for ((code, &expected), &value) in codes.iter().zip(expected).zip(&feature) {
            let expected = if value >= 0.25 { 127 } else { expected as u8 as i8 };
            assert_eq!(*code, expected, "{value}");
        }
    }
}
