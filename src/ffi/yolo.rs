//! YOLO detectors.

use super::{
    errors::wrap,
    get, get_mut,
    header::{maix_kpu_detection_t, maix_kpu_rect_t, maix_kpu_yolo_head_t, maix_kpu_yolo_t},
    memory::{Block, Owned},
    slice_of,
};
use crate::{
    error::{Error, Kind, Result, What},
    tensor::ImageShape,
    vision::{
        yolo::{Classes, Detection, Head, Limits, Region, detect},
        yolo2::Yolo2,
        yolo3::Yolo3,
    },
};
use cty::c_int;
use heapless::Vec;

/// Outputs that a model may have here.
const HEADS: usize = 8;

/// What stands behind a `maix_kpu_yolo_t`. The heads borrow the anchors, and are dropped first.
struct Detector {
    heads: Vec<Head<'static>, HEADS>,
    classes: Classes,
    limits: Limits,
    found: usize,
    memory: Block<Detection>,
    _anchors: Block<[f32; 2]>,
}

/// Takes memory for a detector and hands it out; `net` is the size of YOLOv3's input, in whose pixels
/// the anchors are.
///
/// # Safety
/// `heads` are as the header says, `yolo` points to a place for the pointer, or is NULL.
unsafe fn open(
    heads: &[maix_kpu_yolo_head_t],
    net: Option<(u32, u32)>,
    limits: Limits,
    yolo: *mut *mut maix_kpu_yolo_t,
) -> Result<()> {
    // SAFETY: the caller's promise.
    let yolo = unsafe { get_mut(What::PlaceForTheDetector, yolo) }?;
    for (what, value) in [(What::Threshold, limits.threshold), (What::NmsValue, limits.nms)] {
        if !(0.0..=1.0).contains(&value) {
            return Err(Error::of(Kind::Fraction, what));
        }
    }
    let total = heads.iter().try_fold(0usize, |sum, head| sum.checked_add(head.anchor_count));
    let mut anchors = Block::<[f32; 2]>::new(total.unwrap_or(usize::MAX))?;
    // SAFETY: `Detector` keeps the anchors behind the heads, and does not touch them.
    let mut rest: &'static mut [[f32; 2]] = unsafe { anchors.lend() };
    let mut own_heads = Vec::new();
    for head in heads {
        // SAFETY: the caller's promise.
        let given =
            unsafe { slice_of(What::Anchors, head.anchors.cast::<[f32; 2]>(), head.anchor_count) }?;
        let (own, behind) = core::mem::take(&mut rest)
            .split_at_mut_checked(given.len())
            .ok_or(Error::new(Kind::Allocate))?;
        rest = behind;
        own.iter_mut().zip(given).for_each(|(own, given)| *own = *given);
        let shape = ImageShape::new(head.c as usize, head.h as usize, head.w as usize);
        let own_head = match net {
            Some(net) => Yolo3::head(shape, own, net),
            None => Yolo2::head(shape, own),
        };
        own_heads.push(own_head?).map_err(|_| too_many(heads.len()))?;
    }
    let memory = Block::new(Yolo3::new(&own_heads)?.boxes())?;
    let classes = if net.is_some() { Classes::Sigmoid } else { Classes::Softmax };
    let detector =
        Detector { heads: own_heads, classes, limits, found: 0, memory, _anchors: anchors };
    *yolo = Owned::place()?.put(detector).into_raw().cast();
    Ok(())
}

fn too_many(outputs: usize) -> Error {
    Error::about(Kind::OutputCount, What::Nothing, [outputs as u64, HEADS as u64])
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_yolo2_open(
    head: *const maix_kpu_yolo_head_t,
    threshold: f32,
    nms: f32,
    yolo: *mut *mut maix_kpu_yolo_t,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let heads = core::slice::from_ref(get(What::TheOutput, head)?);
        open(heads, None, Limits { threshold, nms }, yolo)
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_yolo3_open(
    heads: *const maix_kpu_yolo_head_t,
    count: usize,
    net_w: u32,
    net_h: u32,
    threshold: f32,
    nms: f32,
    yolo: *mut *mut maix_kpu_yolo_t,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let heads = slice_of(What::TheOutputs, heads, count)?;
        open(heads, Some((net_w, net_h)), Limits { threshold, nms }, yolo)
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_yolo_close(yolo: *mut maix_kpu_yolo_t) {
    // SAFETY: opened here, closed once.
    drop(unsafe { Owned::<Detector>::from_raw(yolo.cast()) });
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_yolo_classes(yolo: *const maix_kpu_yolo_t) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { yolo.cast::<Detector>().as_ref() }
        .map_or(0, |yolo| yolo.heads.first().map_or(0, Head::classes) as u32)
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_yolo_detect(
    yolo: *mut maix_kpu_yolo_t,
    values: *const *const f32,
    counts: *const usize,
    count: usize,
    found: *mut usize,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let yolo = get_mut(What::Detector, yolo.cast::<Detector>())?;
        let found = get_mut(What::PlaceForTheNumber, found)?;
        let values = slice_of(What::TheOutputs, values, count)?;
        let counts = slice_of(What::OutputsSizes, counts, count)?;
        let mut outputs = Vec::<&[f32], HEADS>::new();
        for (&output, &len) in values.iter().zip(counts) {
            outputs.push(slice_of(What::AnOutput, output, len)?).map_err(|_| too_many(count))?;
        }
        yolo.found = 0;
        let Detector { heads, classes, limits, memory, .. } = yolo;
        yolo.found = detect(heads, &outputs, *classes, *limits, memory)?.len();
        *found = yolo.found;
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_yolo_detection(
    yolo: *const maix_kpu_yolo_t,
    index: usize,
    detection: *mut maix_kpu_detection_t,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let yolo = get(What::Detector, yolo.cast::<Detector>())?;
        let detection = get_mut(What::PlaceForTheObject, detection)?;
        let found =
            yolo.memory.get(..yolo.found).unwrap_or_default().get(index).ok_or_else(|| {
                Error::about(Kind::DetectionIndex, What::Nothing, [index as u64, yolo.found as u64])
            })?;
        let Region { x, y, w, h } = found.region;
        *detection = maix_kpu_detection_t {
            number: found.number,
            class_id: found.class,
            probability: found.probability,
            x,
            y,
            w,
            h,
        };
        Ok(())
    })
}

fn region(detection: &maix_kpu_detection_t) -> Region {
    Region { x: detection.x, y: detection.y, w: detection.w, h: detection.h }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_detection_rect(
    detection: *const maix_kpu_detection_t,
    width: u32,
    height: u32,
    rect: *mut maix_kpu_rect_t,
) {
    // SAFETY: the caller's promises; NULL is left alone.
    if let (Some(detection), Some(rect)) = unsafe { (detection.as_ref(), rect.as_mut()) } {
        let found = region(detection).rect(width, height);
        *rect = maix_kpu_rect_t { x: found.x, y: found.y, w: found.w, h: found.h };
    }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_detection_unletterbox(
    detection: *mut maix_kpu_detection_t,
    net_w: u32,
    net_h: u32,
    picture_w: u32,
    picture_h: u32,
) {
    // SAFETY: the caller's promise; NULL is left alone.
    if let Some(detection) = unsafe { detection.as_mut() } {
        let Region { x, y, w, h } =
            region(detection).unletterbox((net_w, net_h), (picture_w, picture_h));
        (detection.x, detection.y, detection.w, detection.h) = (x, y, w, h);
    }
}
