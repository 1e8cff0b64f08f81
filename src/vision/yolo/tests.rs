use super::super::{
    testdata::{assert_close, floats, transcript},
    yolo2::Yolo2,
    yolo3::Yolo3,
};
use super::*;
use proptest::prelude::*;

const FACE_ANCHORS: [[f32; 2]; 5] = [
    [1.889, 2.5245],
    [2.9465, 3.94056],
    [3.99987, 5.3658],
    [5.155437, 6.92275],
    [6.718375, 9.01025],
];
const TWENTY_ANCHORS: [[f32; 2]; 5] =
    [[1.08, 1.19], [3.42, 4.41], [6.63, 11.38], [9.42, 5.11], [16.62, 10.52]];
const PLATE_ANCHORS: [[f32; 2]; 5] = [
    [8.308915, 2.75631],
    [5.186099, 1.7863758],
    [6.9148054, 3.8257718],
    [10.218568, 3.6947668],
    [6.4088206, 2.3881352],
];

fn detect2(
    shape: ImageShape,
    anchors: &[[f32; 2]],
    output: &[f32],
    threshold: f32,
    nms: f32,
) -> Vec<Detection> {
    let yolo = Yolo2::new(shape, anchors).unwrap();
    let mut memory = vec![Detection::default(); yolo.boxes()];
    yolo.detect(output, Limits { threshold, nms }, &mut memory).unwrap().to_vec()
}

/// `logit(sigmoid(x)) = x`.
fn logit(p: f32) -> f32 {
    (p / (1.0 - p)).ln()
}

/// An output in which nothing is there, to put boxes into.
struct Output {
    shape: ImageShape,
    anchors: usize,
    values: Vec<f32>,
}

impl Output {
    fn new(anchors: usize, classes: usize, height: usize, width: usize) -> Self {
        let shape = ImageShape::new(anchors * (5 + classes), height, width);
        Self { shape, anchors, values: vec![-100.0; shape.elements()] }
    }

    fn put(&mut self, anchor: usize, row: usize, column: usize, values: &[f32]) {
        let first = anchor * self.shape.channels / self.anchors;
        for (channel, value) in values.iter().enumerate() {
            let line = (first + channel) * self.shape.height + row;
            self.values[line * self.shape.width + column] = *value;
        }
    }
}

#[test]
fn a_box_by_hand() {
    let mut output = Output::new(2, 3, 4, 8);
    // Second anchor, row 2, column 6: centre (6.5/8, 2.25/4), size (e^0 * 2/8, e^ln2 * 1/4).
    let classes = [1.0f32.ln(), 6.0f32.ln(), 3.0f32.ln()];
    output.put(1, 2, 6, &[0.0, logit(0.25), 0.0, 2.0f32.ln(), logit(0.8)]);
    output.put(
        1,
        2,
        6,
        &[&[0.0, logit(0.25), 0.0, 2.0f32.ln(), logit(0.8)], &classes[..]].concat(),
    );
    let found = detect2(output.shape, &[[1.0, 1.0], [2.0, 1.0]], &output.values, 0.4, 0.5);
    let [found] = found[..] else { panic!("{found:?}") };
    assert_eq!((found.number, found.class), (32 + 2 * 8 + 6, 1));
    assert_close(&[found.probability], &[0.8 * 0.6]);
    let Region { x, y, w, h } = found.region;
    assert_close(&[x, y, w, h], &[0.8125, 0.5625, 0.25, 0.5]);
    assert_eq!(found.region.rect(320, 240), Rect { x: 220, y: 75, w: 80, h: 120 });
}

#[test]
fn version_3_by_hand() {
    // Two grids; anchors in pixels of a 64x32 net; classes are independent.
    let mut coarse = Output::new(1, 2, 1, 2);
    let mut fine = Output::new(2, 2, 2, 4);
    coarse.put(0, 0, 1, &[0.0, 0.0, 0.0, 0.0, logit(0.9), logit(0.5), logit(0.8)]);
    fine.put(1, 1, 0, &[0.0, 0.0, 0.0, 0.0, logit(0.5), logit(0.9), logit(0.1)]);
    let net = (64, 32);
    let heads = [
        Yolo3::head(coarse.shape, &[[32.0, 16.0]], net).unwrap(),
        Yolo3::head(fine.shape, &[[4.0, 4.0], [8.0, 16.0]], net).unwrap(),
    ];
    let yolo = Yolo3::new(&heads).unwrap();
    assert_eq!((yolo.boxes(), yolo.classes()), (2 + 16, 2));
    let mut memory = vec![Detection::default(); yolo.boxes()];
    let limits = Limits { threshold: 0.4, nms: 0.5 };
    let found = yolo.detect(&[&coarse.values, &fine.values], limits, &mut memory).unwrap();
    let [large, small] = *found else { panic!("{found:?}") };
    assert_eq!((large.number, large.class, small.number, small.class), (1, 1, 2 + 8 + 4, 0));
    assert_close(&[large.probability, small.probability], &[0.72, 0.45]);
    assert_eq!(large.region, Region { x: 0.75, y: 0.5, w: 0.5, h: 0.5 });
    assert_eq!(small.region, Region { x: 0.125, y: 0.75, w: 0.125, h: 0.5 });
}

#[test]
fn outputs_suppress_each_other() {
    let mut coarse = Output::new(1, 1, 1, 1);
    let mut fine = Output::new(1, 1, 2, 2);
    coarse.put(0, 0, 0, &[logit(0.25), logit(0.25), 0.0, 0.0, logit(0.7), 100.0]);
    fine.put(0, 0, 0, &[0.0, 0.0, 0.0, 0.0, logit(0.9), 100.0]);
    let heads =
        [coarse.shape, fine.shape].map(|s| Yolo3::head(s, &[[9.0, 9.0]], (10, 10)).unwrap());
    let yolo = Yolo3::new(&heads).unwrap();
    let mut memory = [Detection::default(); 5];
    let limits = Limits { threshold: 0.5, nms: 0.5 };
    let found = yolo.detect(&[&coarse.values, &fine.values], limits, &mut memory).unwrap();
    assert_eq!(found.iter().map(|d| d.number).collect::<Vec<_>>(), [1]);
}

/// A box that loses one class keeps another that nobody contests.
#[test]
fn classes_are_suppressed_one_by_one() {
    let mut output = Output::new(1, 2, 1, 2);
    output.put(0, 0, 0, &[0.0, 0.0, 0.0, 0.0, 100.0, 0.55f32.ln(), 0.45f32.ln()]);
    output.put(0, 0, 1, &[0.0, 0.0, 0.0, 0.0, 100.0, 0.7f32.ln(), 0.3f32.ln()]);
    let found = detect2(output.shape, &[[20.0, 1.0]], &output.values, 0.4, 0.5);
    let found: Vec<_> = found.iter().map(|d| (d.number, d.class)).collect();
    assert_eq!(found, [(0, 1), (1, 0)]);
}

#[test]
fn letterbox_is_taken_off() {
    // A 100x50 picture in a 200x200 net: 200x100, with bars of 50 above and below.
    let seen = Region { x: 0.5, y: 0.5, w: 0.25, h: 0.25 };
    let real = seen.unletterbox((200, 200), (100, 50));
    assert_eq!(real, Region { x: 0.5, y: 0.5, w: 0.25, h: 0.5 });
    let corner = Region { x: 0.0, y: 0.25, w: 0.0, h: 0.0 };
    assert_eq!(corner.unletterbox((200, 200), (100, 50)), Region::default());
    assert_eq!(seen.unletterbox((320, 240), (640, 480)), seen);
    // Sizes of zero give numbers, not a panic.
    let _ = seen.unletterbox((0, 0), (0, 0)).rect(0, 0);
}

#[test]
fn borders_are_truncated() {
    let region = Region { x: 0.1, y: 0.95, w: 0.5, h: 0.4 };
    assert_eq!(region.rect(100, 10), Rect { x: 0, y: 7, w: 35, h: 4 });
    let nowhere = Region { x: f32::NAN, y: f32::INFINITY, w: 1.0, h: f32::NAN };
    let _ = nowhere.rect(u32::MAX, u32::MAX);
}

#[test]
fn arguments_are_checked_against_the_output() {
    let text = |shape, anchors: &[[f32; 2]]| Yolo2::new(shape, anchors).unwrap_err().to_string();
    assert_eq!(
        text(ImageShape::new(125, 7, 10), &TWENTY_ANCHORS[..4]),
        "the output has 125 channels, which is not 4 anchors times (5 + classes)"
    );
    assert!(text(ImageShape::new(8, 1, 1), &TWENTY_ANCHORS[..2]).contains("8 channels"));
    assert!(text(ImageShape::new(10, 1, 1), &[]).contains("0 anchors"));
    assert!(text(ImageShape::new(5, 0, 3), &TWENTY_ANCHORS[..1]).contains("3x0 cells"));
    assert!(Yolo2::new(ImageShape::new(5, usize::MAX, 3), &TWENTY_ANCHORS[..1]).is_err());

    let yolo = Yolo2::new(ImageShape::new(30, 2, 3), &TWENTY_ANCHORS).unwrap();
    assert_eq!((yolo.boxes(), yolo.classes()), (30, 1));
    let limits = Limits { threshold: 0.5, nms: 0.5 };
    let mut memory = [Detection::default(); 30];
    let error = yolo.detect(&[0.0; 179], limits, &mut memory).unwrap_err();
    assert_eq!((error.kind(), error.values()), (Kind::OutputValues, [179, 180]));
    let error = yolo.detect(&[0.0; 180], limits, &mut memory[..29]).unwrap_err();
    assert_eq!(error.kind(), Kind::NoMemory);

    let one = Yolo3::head(ImageShape::new(6, 1, 1), &[[1.0; 2]], (8, 8)).unwrap();
    let two = Yolo3::head(ImageShape::new(7, 1, 1), &[[1.0; 2]], (8, 8)).unwrap();
    let error = Yolo3::new(&[one, two]).unwrap_err();
    assert_eq!(error.to_string(), "one yolo output has 2 classes, the first has 1");
    assert!(Yolo3::new(&[]).is_err());
    assert!(Yolo3::head(ImageShape::new(6, 1, 1), &[[1.0; 2]], (0, 8)).is_err());
    let heads = [one];
    let error = Yolo3::new(&heads).unwrap().detect(&[], limits, &mut memory).unwrap_err();
    assert_eq!(error.to_string(), "0 outputs were given, the yolo model has 1");
}

/// A box as CanMV prints it: `[x, y, w, h, class, probability]`.
fn printed(line: &str) -> Option<(Rect, u32, f32)> {
    let list = line.strip_prefix('[')?.strip_suffix(']')?;
    let [x, y, w, h, class, probability] = list.split(", ").collect::<Vec<_>>()[..] else {
        return None;
    };
    let number = |text: &str| text.parse().ok();
    let rect = Rect { x: number(x)?, y: number(y)?, w: number(w)?, h: number(h)? };
    Some((rect, number(class)?, probability.parse().ok()?))
}

#[track_caller]
fn assert_found(found: &[Detection], expected: &[(Rect, u32, f32)]) {
    let boxes: Vec<_> = found.iter().map(|d| (d.region.rect(320, 240), d.class)).collect();
    assert_eq!(boxes, expected.iter().map(|e| (e.0, e.1)).collect::<Vec<_>>());
    let probabilities: Vec<_> = found.iter().map(|d| d.probability).collect();
    assert_close(&probabilities, &expected.iter().map(|e| e.2).collect::<Vec<_>>());
}

/// The script fed the golden inputs, so its boxes are those of the golden outputs.
#[test]
fn plates_without_classes_as_recorded() {
    let Some(lines) = transcript("canmv/yolo2_classes0") else { return };
    let mut expected = lines.iter().filter_map(|line| printed(line));
    for (case, threshold) in [("natural", 0.02), ("natural", 0.005), ("xorshift", 0.05)] {
        let output = floats(&format!("golden/v3_lp_detect/output_{case}_0.bin")).unwrap();
        let shape = ImageShape::new(25, 15, 20);
        let found = detect2(shape, &PLATE_ANCHORS, &output, threshold, 0.3);
        assert_found(&found, &[expected.next().unwrap()]);
    }
    assert_eq!(expected.next(), None);
}

/// The golden pictures are the scripts' pictures before RGB565, so that the boxes nearly agree.
#[test]
fn boxes_of_the_golden_pictures() {
    let models = [
        ("v3_facedetect_maix", ImageShape::new(30, 15, 20), &FACE_ANCHORS, (108, 30, 64, 86, 0)),
        ("v3_demo_face_detect", ImageShape::new(30, 15, 20), &FACE_ANCHORS, (108, 30, 64, 86, 0)),
        ("v3_yolo20", ImageShape::new(125, 7, 10), &TWENTY_ANCHORS, (0, 8, 330, 241, 7)),
        ("v4_yolo20_sdk", ImageShape::new(125, 7, 10), &TWENTY_ANCHORS, (0, 15, 339, 227, 7)),
    ];
    for (model, shape, anchors, (x, y, w, h, class)) in models {
        let Some(output) = floats(&format!("golden/{model}/output_natural_0.bin")) else { return };
        let found = detect2(shape, anchors, &output, 0.5, 0.3);
        let [found] = found[..] else { panic!("{model}: {found:?}") };
        assert_eq!(found.class, class, "{model}");
        assert!(found.probability > 0.9, "{model}: {found:?}");
        let rect = found.region.rect(320, 240);
        for (is, recorded) in [(rect.x, x), (rect.y, y), (rect.w, w), (rect.h, h)] {
            assert!(is.abs_diff(recorded) <= 4, "{model}: {rect:?}");
        }
    }
}

/// Boxes that crowd a small field, with few different probabilities so that there are equal ones.
fn crowd() -> impl Strategy<Value = Vec<Detection>> {
    let place = (0u8..20, 0u8..20, 1u8..12, 1u8..12, 0u8..4);
    prop::collection::vec(place, 0..30).prop_map(|places| {
        let numbered = places.into_iter().zip(0..);
        numbered
            .map(|((x, y, w, h, p), number)| Detection {
                number,
                region: Region {
                    x: f32::from(x) / 20.0,
                    y: f32::from(y) / 20.0,
                    w: f32::from(w) / 20.0,
                    h: f32::from(h) / 20.0,
                },
                search: Search { current: f32::from(p) / 4.0, ..Search::default() },
                ..Detection::default()
            })
            .collect()
    })
}

/// The boxes that stay, by number.
fn survivors(mut candidates: Vec<Detection>, nms: f32) -> Vec<Detection> {
    suppress(&mut candidates, 0, nms);
    let kept = keep(&mut candidates, |candidate| candidate.probability > 0.0);
    candidates.truncate(kept);
    candidates.sort_by_key(|candidate| candidate.number);
    candidates
}

proptest! {
    #[test]
    fn suppression_is_idempotent(crowd in crowd(), nms in 0.0f32..1.0) {
        let once = survivors(crowd, nms);
        let again = once.iter().map(|&stayed| Detection {
            probability: 0.0,
            search: Search { current: stayed.probability, ..stayed.search },
            ..stayed
        });
        prop_assert_eq!(survivors(again.collect(), nms), once);
    }

    #[test]
    fn suppression_ignores_the_order(
        (crowd, shuffled) in crowd().prop_flat_map(|c| (Just(c.clone()), Just(c).prop_shuffle())),
        nms in 0.0f32..1.0,
    ) {
        prop_assert_eq!(survivors(shuffled, nms), survivors(crowd, nms));
    }

    #[test]
    fn those_who_stay_overlap_little_and_those_who_leave_much(crowd in crowd(), nms in 0.0f32..1.0) {
        let stayed = survivors(crowd.clone(), nms);
        for candidate in crowd.iter().filter(|candidate| candidate.search.current > 0.0) {
            let stays = stayed.iter().any(|other| other.number == candidate.number);
            let beaten = stayed.iter().any(|other| {
                other.number != candidate.number
                    && other.probability >= candidate.search.current
                    && other.region.iou(&candidate.region) > nms
            });
            prop_assert_eq!(stays, !beaten);
        }
    }

    #[test]
    fn any_output_gives_ordered_boxes_above_the_threshold(
        values in prop::collection::vec(-6.0f32..6.0, 2 * 8 * 3 * 4),
        threshold in 0.0f32..1.0,
        nms in 0.0f32..1.0,
    ) {
        let shape = ImageShape::new(16, 3, 4);
        let found = detect2(shape, &[[1.0, 2.0], [3.0, 1.0]], &values, threshold, nms);
        prop_assert!(found.is_sorted_by(|a, b| a.number < b.number));
        for detection in &found {
            prop_assert!(detection.probability > threshold && detection.class < 3);
            // The probability once more, over all classes in the plain way.
            let at = |channel: usize| {
                let (anchor, cell) = (detection.number as usize / 12, detection.number as usize % 12);
                values[(anchor * 8 + channel) * 12 + cell]
            };
            let sum: f32 = (5..8).map(|class| at(class).exp()).sum();
            let class = at(5 + detection.class as usize).exp() / sum;
            let expected = class / (1.0 + (-at(4)).exp());
            prop_assert!((detection.probability - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn hostile_values_do_no_harm(
        values in prop::collection::vec(any::<f32>(), 2 * 7 * 2 * 2),
        threshold: f32,
        nms: f32,
    ) {
        let shape = ImageShape::new(14, 2, 2);
        for detection in detect2(shape, &[[1.0, 2.0], [3.0, 1.0]], &values, threshold, nms) {
            let _ = detection.region.unletterbox((4, 4), (3, 5)).rect(320, 240);
        }
    }
}
