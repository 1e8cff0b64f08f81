//! `sipeed_kpu_face_*`: features of faces are coded and compared.

use super::super::{slice_of, slice_of_mut};
use super::answer;
use crate::error::What;
use crate::vision::face;

/// Codes a feature of `count` values.
///
/// # Safety
/// Both point to `count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_face_encode(feature: *const f32, code: *mut i8, count: u32) {
    // SAFETY: the caller's promise.
    answer(|| unsafe {
        let code = slice_of_mut(What::PlaceForTheCode, code, count as usize)?;
        face::encode(slice_of(What::Feature, feature, count as usize)?, code)
    });
}

/// How alike two codes of `count` values are, 0 to 100; 0 where there are none.
///
/// # Safety
/// Both point to `count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipeed_kpu_face_compare(a: *const i8, b: *const i8, count: u32) -> f32 {
    let mut likeness = 0.0;
    // SAFETY: the caller's promise.
    answer(|| unsafe {
        let a = slice_of(What::FirstCode, a, count as usize)?;
        likeness = face::compare(a, slice_of(What::SecondCode, b, count as usize)?)?;
        Ok(())
    });
    likeness
}
