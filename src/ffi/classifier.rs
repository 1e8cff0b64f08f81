//! The self-learning classifier.

use super::{
    errors::wrap,
    get, get_mut,
    header::{maix_kpu_capacity_t, maix_kpu_learner_t},
    memory::{Block, Owned},
    slice_of,
};
use crate::{
    error::{Error, Kind, Result, What},
    vision::classifier::{Capacity, Classifier, File, Form},
};
use cty::{c_int, c_void};

/// What stands behind a `maix_kpu_learner_t`. The classifier borrows the rest, and is dropped
/// first.
pub(super) struct Learner {
    pub(super) classifier: Classifier<'static>,
    _values: Block<f32>,
    _marks: Block<u32>,
}

impl Learner {
    /// An empty classifier, in memory of its own.
    pub(super) fn new(capacity: Capacity) -> Result<Self> {
        let mut values = Block::new(capacity.values().unwrap_or(usize::MAX))?;
        let mut marks = Block::new(capacity.marks().unwrap_or(usize::MAX))?;
        // SAFETY: the learner keeps the memory behind the classifier and does not touch it.
        let classifier = unsafe { Classifier::new(capacity, values.lend(), marks.lend()) }?;
        Ok(Self { classifier, _values: values, _marks: marks })
    }
}

fn capacity(capacity: &maix_kpu_capacity_t) -> Capacity {
    let maix_kpu_capacity_t { classes, samples, feature } = *capacity;
    Capacity { classes, samples, feature }
}

/// The classifier behind a pointer.
///
/// # Safety
/// `classifier` is NULL or was opened and not closed, and nothing else uses it.
unsafe fn classifier<'c>(
    classifier: *mut maix_kpu_learner_t,
) -> Result<&'c mut Classifier<'static>> {
    // SAFETY: the caller's promise.
    let learner = unsafe { get_mut(What::Classifier, classifier.cast::<Learner>()) }?;
    Ok(&mut learner.classifier)
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_open(
    room: *const maix_kpu_capacity_t,
    classifier: *mut *mut maix_kpu_learner_t,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let capacity = capacity(get(What::Capacity, room)?);
        let place = get_mut(What::PlaceForTheClassifier, classifier)?;
        *place = Owned::place()?.put(Learner::new(capacity)?).into_raw().cast();
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_close(classifier: *mut maix_kpu_learner_t) {
    // SAFETY: opened here, closed once.
    drop(unsafe { Owned::<Learner>::from_raw(classifier.cast()) });
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_info(
    classifier: *const maix_kpu_learner_t,
    room: *mut maix_kpu_capacity_t,
    classes: *mut usize,
    samples: *mut usize,
) {
    // SAFETY: the caller's promises; NULL is left alone.
    unsafe {
        let Some(learner) = classifier.cast::<Learner>().as_ref() else { return };
        let Capacity { classes: most, samples: places, feature } = learner.classifier.capacity();
        if let Some(room) = room.as_mut() {
            *room = maix_kpu_capacity_t { classes: most, samples: places, feature };
        }
        if let Some(classes) = classes.as_mut() {
            *classes = learner.classifier.classes();
        }
        if let Some(samples) = samples.as_mut() {
            *samples = learner.classifier.samples();
        }
    }
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_add_class(
    learner: *mut maix_kpu_learner_t,
    feature: *const f32,
    count: usize,
    place: c_int,
    index: *mut usize,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let feature = slice_of(What::Feature, feature, count)?;
        let index = get_mut(What::PlaceForTheIndex, index)?;
        *index = classifier(learner)?.add_class(feature, usize::try_from(place).ok())?;
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_add_sample(
    learner: *mut maix_kpu_learner_t,
    feature: *const f32,
    count: usize,
    index: *mut usize,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let feature = slice_of(What::Feature, feature, count)?;
        let index = get_mut(What::PlaceForTheIndex, index)?;
        *index = classifier(learner)?.add_sample(feature)?;
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_remove_class(
    learner: *mut maix_kpu_learner_t,
    left: *mut usize,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let left = get_mut(What::PlaceForTheNumber, left)?;
        *left = classifier(learner)?.remove_class()?;
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_remove_sample(
    learner: *mut maix_kpu_learner_t,
    left: *mut usize,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let left = get_mut(What::PlaceForTheNumber, left)?;
        *left = classifier(learner)?.remove_sample()?;
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_train(learner: *mut maix_kpu_learner_t) -> c_int {
    // SAFETY: the caller's promise.
    wrap(|| unsafe { classifier(learner) }?.train())
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_predict(
    learner: *const maix_kpu_learner_t,
    feature: *const f32,
    count: usize,
    class_index: *mut c_int,
    distance: *mut f32,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let learner = get(What::Classifier, learner.cast::<Learner>())?;
        let feature = slice_of(What::Feature, feature, count)?;
        let class_index = get_mut(What::PlaceForTheClass, class_index)?;
        let distance = get_mut(What::PlaceForTheDistance, distance)?;
        (*class_index, *distance) = match learner.classifier.predict(feature)? {
            Some(nearest) => (nearest.class as c_int, nearest.distance),
            None => (-1, f32::MAX),
        };
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_save(
    learner: *const maix_kpu_learner_t,
    plain: bool,
    context: *mut c_void,
    write: Option<
        unsafe extern "C" fn(context: *mut c_void, bytes: *const c_void, length: usize) -> bool,
    >,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let learner = get(What::Classifier, learner.cast::<Learner>())?;
        let write = write.ok_or_else(|| super::null(What::FunctionThatWrites))?;
        let form = if plain { Form::Original } else { Form::Checked };
        learner.classifier.save(form, &mut |bytes| match write(
            context,
            bytes.as_ptr().cast(),
            bytes.len(),
        ) {
            true => Ok(()),
            false => Err(Error::of(Kind::Write, What::Classifier)),
        })
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_file(
    bytes: *const c_void,
    length: usize,
    room: *mut maix_kpu_capacity_t,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let File { classes, samples, feature, .. } =
            File::parse(slice_of(What::File, bytes.cast(), length)?)?;
        *get_mut(What::Capacity, room)? = maix_kpu_capacity_t { classes, samples, feature };
        Ok(())
    })
}

/// See the header.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_learner_load(
    learner: *mut maix_kpu_learner_t,
    bytes: *const c_void,
    length: usize,
) -> c_int {
    // SAFETY: the caller's promises.
    wrap(|| unsafe {
        let file = File::parse(slice_of(What::File, bytes.cast(), length)?)?;
        classifier(learner)?.load(&file)
    })
}
