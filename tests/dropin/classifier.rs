//! The self-learning classifier.

use crate::{doors::*, firmware::*};
use core::{
    ffi::{c_char, c_int, c_void},
    ptr::{null, null_mut},
};
use maix_kpu::ffi::dropin::classifier::*;
use std::ffi::CString;

/// The firmware's `image_t` and `kpu_model_info_t`.
#[repr(C, align(8))]
struct RawImage(c_int, c_int, c_int, *const u8, *const u8);
#[repr(C, align(8))]
struct RawInfo(*mut c_void, u32, u32, *const c_char, u32);

#[test]
fn a_classifier_learns_saves_and_loads() {
    let _turn = boot();
    flash(&mnist());
    let (model, _) = load_flash(ADDRESS, false).unwrap();
    let info = RawInfo(model, 0, 0, null(), 0);
    let pictures: Vec<Vec<u8>> = (0..4u8)
        .map(|kind| {
            let dot = |i: usize| (i / 28 / 7) as u8 == kind && (i % 28) > 5;
            (0..784).map(|i| if dot(i) { 255 } else { 0 }).collect()
        })
        .collect();
    let image = |kind: usize| RawImage(28, 28, 1, null(), pictures[kind].as_ptr());
    let cast = |image: &RawImage| (&raw const *image).cast::<FirmwareImage>();
    let nobody = null_mut();
    let mut own = null_mut();
    let path = CString::new("/sd/c.clf").unwrap();
    // SAFETY: pictures are whole, places are ours.
    unsafe {
        let info = (&raw const info).cast::<ModelInfo>();
        let init = |own, classes, feature| {
            maix_kpu_classifier_init(own, info, classes, 2, false, 0, feature)
        };
        assert_eq!(init(&raw mut own, -1, 0), -22);
        assert_eq!(init(&raw mut own, 3, 11), -12);
        assert_eq!(init(&raw mut own, 3, 0), 0);
        printed();
        for kind in 0..3 {
            let picture = image(kind);
            assert_eq!(maix_kpu_classifier_add_class_img(own, cast(&picture), -1), kind as c_int);
        }
        assert_eq!(maix_kpu_classifier_add_class_img(own, cast(&image(3)), -1), -1);
        assert!(printed().contains("are taken"));
        assert_eq!(maix_kpu_classifier_train(own), -1);
        for sample in 0..2 {
            let picture = image(sample);
            let number = maix_kpu_classifier_add_sample_img(own, cast(&picture));
            assert_eq!(number, sample as c_int);
        }
        assert_eq!(maix_kpu_classifier_rm_sample_img(own), 1);
        assert_eq!(maix_kpu_classifier_train(own), 0);
        let predict = |own, picture: &RawImage| {
            let mut far = -1.0f32;
            let class = maix_kpu_classifier_predict(
                own,
                cast(picture),
                &raw mut far,
                nobody,
                nobody,
                nobody,
                nobody,
            );
            (class, far)
        };
        for kind in 0..3 {
            assert_eq!(predict(own, &image(kind)), (kind as c_int, 0.0));
        }
        let blank = RawImage(28, 28, 1, null(), null());
        assert_eq!(predict(own, &blank).0, -22);
        assert_eq!(predict(own, &RawImage(27, 28, 1, null(), pictures[0].as_ptr())).0, -2012);

        let nowhere = CString::new("/nowhere/x").unwrap();
        assert_eq!(maix_kpu_classifier_save(own, nowhere.as_ptr()), -2);
        assert_eq!(maix_kpu_classifier_save(own, path.as_ptr()), 0);
        // A head, and for each class a head and ten values.
        assert_eq!(firmware(|f| f.files["/sd/c.clf"].len()), 4 + 3 * (16 + 4 * 10));
        let (mut loaded, mut classes, mut samples) = (null_mut(), 0, 7);
        let load = |loaded, path: &CString, classes, samples| {
            maix_kpu_classifier_load(loaded, path.as_ptr(), info, classes, samples, 0)
        };
        assert_eq!(load(&raw mut loaded, &path, &raw mut classes, &raw mut samples), 0);
        assert_eq!((classes, samples), (3, 7));
        for kind in 0..4 {
            assert_eq!(predict(loaded, &image(kind)), predict(own, &image(kind)));
        }
        let missing = CString::new("/sd/no.clf").unwrap();
        assert_eq!(load(&raw mut loaded, &missing, &raw mut classes, &raw mut samples), -5);
        firmware(|firmware| firmware.broken = true);
        assert_eq!(maix_kpu_classifier_save(own, path.as_ptr()), -5);
        firmware(|firmware| firmware.broken = false);
        assert_eq!(firmware(|firmware| firmware.open_files), 0);

        assert_eq!(maix_kpu_classifier_rm_class_img(own), 2);
        assert_eq!(maix_kpu_classifier_del(&raw mut own), 0);
        assert!(own.is_null());
        assert_eq!(maix_kpu_classifier_del(&raw mut own), -22);
        assert_eq!(destroy(model), 0);
        assert_eq!(predict(loaded, &image(0)).0, -22);
        assert_eq!(maix_kpu_classifier_del(&raw mut loaded), 0);
    }
}
