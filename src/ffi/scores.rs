//! Scores, features and plates.

use super::{errors::wrap, get_mut, header::maix_kpu_ranked_t, slice_of, slice_of_mut};
use crate::error::What;
use crate::vision::{
    face, plate,
    scores::{self, Ranked},
};
use cty::{c_int, c_void};

/// See the header.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_sigmoid(x: f32) -> f32 {
    scores::sigmoid(x)
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_softmax(scores: *mut f32, count: usize) {
    // SAFETY: the caller's promise.
    if let Ok(scores) = unsafe { slice_of_mut(What::Nothing, scores, count) } {
        scores::softmax(scores);
    }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_top(
    scores: *const f32,
    count: usize,
    top: *mut maix_kpu_ranked_t,
    size: usize,
) -> usize {
    const _: () = assert!(size_of::<maix_kpu_ranked_t>() == size_of::<Ranked>());
    // SAFETY: the caller's promises; the two structs have the same fields in C's order.
    let (scores, top) = unsafe {
        (
            slice_of(What::Nothing, scores, count),
            slice_of_mut(What::Nothing, top.cast::<Ranked>(), size),
        )
    };
    match (scores, top) {
        (Ok(scores), Ok(top)) => scores::top_k(scores, top).len(),
        _ => 0,
    }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_face_encode(
    feature: *const f32,
    code: *mut i8,
    count: usize,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        face::encode(
            slice_of(What::Feature, feature, count)?,
            slice_of_mut(What::PlaceForTheCode, code, count)?,
        )
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_face_compare(
    a: *const i8,
    a_count: usize,
    b: *const i8,
    b_count: usize,
    likeness: *mut f32,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let (a, b) = (slice_of(What::Code, a, a_count)?, slice_of(What::Code, b, b_count)?);
        *get_mut(What::Likeness, likeness)? = face::compare(a, b)?;
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_feature_normalize(feature: *mut f32, count: usize) {
    // SAFETY: the caller's promise.
    if let Ok(feature) = unsafe { slice_of_mut(What::Nothing, feature, count) } {
        face::normalize(feature);
    }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_feature_compare(
    a: *const f32,
    a_count: usize,
    b: *const f32,
    b_count: usize,
    likeness: *mut f32,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let (a, b) = (slice_of(What::Feature, a, a_count)?, slice_of(What::Feature, b, b_count)?);
        *get_mut(What::Likeness, likeness)? = face::similarity(a, b)?;
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_plate(
    features: *const f32,
    count: usize,
    weights: *const c_void,
    weights_bytes: usize,
    scores: *mut f32,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let scores = get_mut(What::Scores, scores.cast::<[f32; plate::SCORES]>())?;
        let weights = slice_of(What::Weights, weights.cast::<u8>(), weights_bytes)?;
        plate::recognize(slice_of(What::Features, features, count)?, weights, scores)
    })
}
