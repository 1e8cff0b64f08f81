use super::*;
use crate::vision::testdata::{assert_close, transcript};
use proptest::prelude::*;

/// Memory for a classifier.
struct Room {
    capacity: Capacity,
    values: Vec<f32>,
    marks: Vec<u32>,
}

fn room(classes: usize, samples: usize, feature: usize) -> Room {
    let capacity = Capacity { classes, samples, feature };
    let values = vec![f32::NAN; capacity.values().unwrap()];
    Room { capacity, values, marks: vec![7; capacity.marks().unwrap()] }
}

impl Room {
    fn classifier(&mut self) -> Classifier<'_> {
        Classifier::new(self.capacity, &mut self.values, &mut self.marks).unwrap()
    }
}

fn saved(classifier: &Classifier<'_>, form: Form) -> Vec<u8> {
    let mut file = Vec::new();
    let mut out = |piece: &[u8]| {
        file.extend_from_slice(piece);
        Ok(())
    };
    classifier.save(form, &mut out).unwrap();
    file
}

fn nearest_class(classifier: &Classifier<'_>, feature: &[f32]) -> Option<usize> {
    classifier.predict(feature).unwrap().map(|nearest| nearest.class)
}

#[test]
fn learns_two_clusters() {
    let mut room = room(2, 4, 2);
    let mut classifier = room.classifier();
    assert_eq!(classifier.predict(&[0.0, 0.0]), Ok(None));
    assert_eq!(classifier.add_class(&[0.0, 0.0], None), Ok(0));
    assert_eq!(classifier.add_class(&[3.0, 4.0], None), Ok(1));
    let before = classifier.predict(&[0.0, 0.0]).unwrap().unwrap();
    assert_eq!(before, Nearest { class: 0, distance: 0.0 });
    for sample in [[1.0, 0.0], [9.0, 8.0], [1.0, 2.0], [11.0, 8.0]] {
        classifier.add_sample(&sample).unwrap();
    }
    classifier.train().unwrap();
    assert_eq!(classifier.samples(), 0);
    assert_eq!(*classifier.centres, [1.0, 1.0, 10.0, 8.0]);
    let after = classifier.predict(&[4.0, 5.0]).unwrap().unwrap();
    assert_eq!(after, Nearest { class: 0, distance: 5.0 });
}

#[test]
fn a_class_without_samples_stays() {
    let mut room = room(2, 1, 1);
    let mut classifier = room.classifier();
    classifier.add_class(&[0.0], None).unwrap();
    classifier.add_class(&[100.0], None).unwrap();
    classifier.add_sample(&[10.0]).unwrap();
    classifier.train().unwrap();
    assert_eq!(*classifier.centres, [10.0, 100.0]);
}

#[test]
fn places_are_taken_given_and_freed() {
    let mut room = room(2, 1, 1);
    let mut classifier = room.classifier();
    assert_eq!(classifier.add_class(&[5.0], Some(1)), Ok(1));
    let missing = classifier.train().unwrap_err();
    assert_eq!(missing.to_string(), "class 0 has no image yet, 2 classes need one each");
    assert!(classifier.save(Form::Original, &mut |_| Ok(())).is_err());
    assert_eq!(classifier.add_class(&[1.0], None), Ok(0));
    let full = classifier.add_class(&[2.0], None).unwrap_err();
    assert_eq!(full.to_string(), "all 2 places for classes are taken");
    let nowhere = classifier.add_class(&[2.0], Some(2)).unwrap_err();
    assert_eq!(nowhere.to_string(), "there is no place for class 2, only for 2 of them");
    assert_eq!(classifier.train().unwrap_err().kind(), Kind::NoSample);
    assert_eq!(classifier.add_sample(&[1.0]), Ok(0));
    assert_eq!(classifier.add_sample(&[1.0]).unwrap_err().kind(), Kind::PlacesFull);
    assert_eq!(classifier.remove_sample(), Ok(0));
    assert_eq!(classifier.remove_sample().unwrap_err().kind(), Kind::NothingToRemove);
    assert_eq!(classifier.remove_class(), Ok(1));
    assert_eq!(nearest_class(&classifier, &[5.0]), Some(0));
    assert_eq!(classifier.remove_class(), Ok(0));
    assert_eq!(classifier.remove_class().unwrap_err().to_string(), "there is no class to remove");
}

#[test]
fn features_are_cut_to_length_and_never_short() {
    let mut room = room(1, 1, 2);
    let mut classifier = room.classifier();
    classifier.add_class(&[1.0, 2.0, 3.0], None).unwrap();
    assert_eq!(*classifier.centres, [1.0, 2.0]);
    let error = classifier.predict(&[1.0]).unwrap_err();
    assert_eq!(error.to_string(), "the feature has 1 values, the classifier 2");
}

#[test]
fn memory_is_checked() {
    let capacity = Capacity { classes: 2, samples: 3, feature: 4 };
    let error = Classifier::new(capacity, &mut [0.0; 19], &mut [0; 5]).unwrap_err();
    assert_eq!(error.to_string(), "the classifier needs 80 bytes, 76 are there");
    assert!(Classifier::new(capacity, &mut [0.0; 20], &mut [0; 4]).is_err());
    let endless = Capacity { classes: usize::MAX, samples: 1, feature: usize::MAX };
    assert!(Classifier::new(endless, &mut [], &mut []).is_err());
    let none = Capacity { feature: 0, ..capacity };
    assert!(Classifier::new(none, &mut [0.0; 20], &mut [0; 5]).is_err());
}

/// The bytes of a small file, its CRC-32 computed by zlib.
#[test]
fn checked_file_by_hand() {
    let mut room = room(1, 2, 2);
    let mut classifier = room.classifier();
    classifier.add_class(&[1.0, -2.0], None).unwrap();
    let head = [1, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let content = [&head[..], &[0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0]].concat();
    assert_eq!(saved(&classifier, Form::Original), content);
    let seal = [&b"KCLS"[..], &[1, 0, 0, 0], &0x2B3B_B4BFu32.to_le_bytes()].concat();
    assert_eq!(saved(&classifier, Form::Checked), [content, seal].concat());
}

#[test]
fn file_errors_say_where() {
    let mut room = room(2, 3, 2);
    let mut classifier = room.classifier();
    classifier.add_class(&[1.0, 2.0], None).unwrap();
    classifier.add_class(&[3.0, 4.0], None).unwrap();
    let file = saved(&classifier, Form::Checked);
    assert_eq!(file.len(), 4 + 2 * (16 + 8) + 12);
    let text = |file: &[u8]| File::parse(file).unwrap_err().to_string();
    assert_eq!(
        text(&file[..20]),
        "the file ends here, 32 bytes before the end of the classes (at byte 20)"
    );
    let changed = |at: usize, byte: u8| {
        let mut file = file.clone();
        file[at] = byte;
        file
    };
    assert_eq!(
        text(&changed(28, 3)),
        "the feature length of the classifier file is 3, not 2 (at byte 28)"
    );
    assert_eq!(
        text(&changed(32, 0)),
        "the index of a class of the classifier file is 0, not 1 (at byte 32)"
    );
    assert_eq!(
        text(&changed(56, 2)),
        "the version of the classifier file is 2, not 1 (at byte 56)"
    );
    assert!(text(&changed(20, 1)).starts_with("the checksum of the classifier file is "));
    assert_eq!(text(&changed(52, 0)), "the length of the classifier file is 64, not 52");
}

#[test]
fn file_must_fit() {
    let mut large = room(2, 3, 2);
    let mut classifier = large.classifier();
    classifier.add_class(&[1.0, 2.0], None).unwrap();
    classifier.add_class(&[3.0, 4.0], None).unwrap();
    let bytes = saved(&classifier, Form::Original);
    let file = File::parse(&bytes).unwrap();
    assert_eq!((file.classes, file.samples, file.feature), (2, 3, 2));
    let few = room(1, 1, 2).classifier().load(&file).unwrap_err();
    assert_eq!(few.to_string(), "the file has 2 classes, there is room for 1");
    let long = room(2, 1, 3).classifier().load(&file).unwrap_err();
    assert_eq!(long.kind(), Kind::FeatureLength);
    let mut short = room(3, 1, 1);
    let mut short = short.classifier();
    short.load(&file).unwrap();
    assert_eq!(nearest_class(&short, &[2.9]), Some(1));
    assert_eq!((short.classes(), short.capacity().classes), (2, 3));
}

/// The original's file, printed by the script 64 bytes a line: it is read, and written again.
#[test]
fn original_file() {
    let Some(lines) = transcript("maixpy/classifier_fea_len") else { return };
    let hex: String =
        lines.iter().filter_map(|line| line.strip_prefix("b'")?.strip_suffix('\'')).collect();
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|byte| u8::from_str_radix(&hex[2 * byte..][..2], 16).unwrap())
        .collect();
    assert_eq!(bytes.len(), 548);
    let file = File::parse(&bytes).unwrap();
    assert_eq!((file.classes, file.samples, file.feature), (2, 2, 64));
    let mut room = room(2, 2, 64);
    let mut classifier = room.classifier();
    classifier.load(&file).unwrap();
    assert_eq!(saved(&classifier, Form::Original), bytes);
}

#[test]
fn a_picture_is_no_classifier() {
    let picture = [0x5A; 4096];
    assert!(File::parse(&picture).is_err());
    assert!(File::parse(&[]).is_err());
}

/// Distances of the golden features, by hand in double precision.
#[test]
fn distances_of_real_features() {
    let golden = |case: &str| {
        crate::vision::testdata::floats(&format!("golden/v4_selflearn_mb025/output_{case}_0.bin"))
    };
    let Some(cases) =
        ["natural", "xorshift", "zeros"].map(golden).into_iter().collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let mut room = room(2, 2, 256);
    let mut classifier = room.classifier();
    classifier.add_class(&cases[0], None).unwrap();
    classifier.add_class(&cases[1], None).unwrap();
    let distance = |a: &[f32], b: &[f32]| {
        let squares = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
        squares.sum::<f64>().sqrt() as f32
    };
    let [first, second] = [distance(&cases[0], &cases[2]), distance(&cases[1], &cases[2])];
    let nearest = classifier.predict(&cases[2]).unwrap().unwrap();
    assert_eq!(nearest.class, usize::from(second < first));
    assert_close(&[nearest.distance], &[first.min(second)]);
}

fn features(count: usize, size: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
    prop::collection::vec(prop::collection::vec(-1e3f32..1e3, size), count)
}

proptest! {
    #[test]
    fn save_and_load_round_trip(
        (classes, size) in (0usize..5, 1usize..40)
            .prop_flat_map(|(count, size)| (features(count, size), Just(size))),
        samples in 0usize..9,
        checked: bool,
    ) {
        let form = if checked { Form::Checked } else { Form::Original };
        let mut before = room(classes.len() + 1, samples, size);
        let mut before = before.classifier();
        for feature in &classes {
            before.add_class(feature, None).unwrap();
        }
        let bytes = saved(&before, form);
        let file = File::parse(&bytes).unwrap();
        prop_assert_eq!((file.classes, file.samples), (classes.len(), samples));
        let mut after = room(file.classes, file.samples, size);
        let mut after = after.classifier();
        after.load(&file).unwrap();
        prop_assert_eq!(saved(&after, form), bytes);
        for (class, feature) in classes.iter().enumerate() {
            let nearest = after.predict(feature).unwrap().unwrap();
            prop_assert!(nearest.distance == 0.0 && nearest.class <= class);
        }
    }

    #[test]
    fn a_checked_file_shows_any_change(
        classes in features(2, 3),
        (place, bit) in (0usize..4 + 2 * 28 + 12, 0u8..8),
    ) {
        let mut room = room(2, 1, 3);
        let mut classifier = room.classifier();
        classifier.add_class(&classes[0], None).unwrap();
        classifier.add_class(&classes[1], None).unwrap();
        let mut bytes = saved(&classifier, Form::Checked);
        bytes[place] ^= 1 << bit;
        prop_assert!(File::parse(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(
        head in prop::sample::select(vec![vec![], vec![1, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0]]),
        tail in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let bytes = [head, tail].concat();
        if let Ok(file) = File::parse(&bytes) {
            let mut room = room(file.classes, 1, file.feature.max(1));
            room.classifier().load(&file).unwrap();
        }
    }

    #[test]
    fn training_puts_every_sample_with_its_nearest_class(
        centres in features(3, 2),
        samples in features(12, 2),
    ) {
        let mut room = room(3, 12, 2);
        let mut classifier = room.classifier();
        for centre in &centres {
            classifier.add_class(centre, None).unwrap();
        }
        for sample in &samples {
            classifier.add_sample(sample).unwrap();
        }
        classifier.train().unwrap();
        let classes: Vec<_> =
            samples.iter().map(|sample| nearest_class(&classifier, sample).unwrap()).collect();
        for (class, begin) in centres.iter().enumerate() {
            let members: Vec<_> =
                samples.iter().zip(&classes).filter(|(_, c)| **c == class).map(|(s, _)| s).collect();
            let mut expected = begin.clone();
            if !members.is_empty() {
                for (axis, mean) in expected.iter_mut().enumerate() {
                    *mean = members.iter().map(|s| s[axis]).sum::<f32>() / members.len() as f32;
                }
                prop_assert_eq!(&classifier.centres[2 * class..][..2], &expected[..]);
            }
        }
    }
}
