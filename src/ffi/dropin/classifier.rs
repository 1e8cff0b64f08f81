//! `maix_kpu_classifier_*`: the self-learning classifier on the features that a model gives of images.
//!
//! These functions return numbers of errors of C, negative; behind a model's error its own number.

use super::{
    super::{
        classifier::Learner,
        get, get_mut,
        memory::{Block, Owned},
        services::HostFile,
    },
    context::Context,
    firmware::{self, EIO, Output},
    models::dma_channel,
    reported,
};
use crate::{
    error::{Error, Kind, Result, What},
    input::{Image, Input, PixelFormat},
    tensor::Dtype,
    vision::classifier::{Capacity, Classifier, File, Form},
};
use cty::{c_char, c_int, c_void};

/// Values of a feature where the firmware does not say: those of the usual models.
const USUAL_FEATURE: usize = 768;

/// The firmware's `image_t`, in its oldest form; other fields stand behind in newer ones.
#[repr(C, align(8))]
pub struct FirmwareImage {
    width: c_int,
    height: c_int,
    bytes_per_pixel: c_int,
    pixels: *mut u8,
    /// Planes of bytes, one for a gray image, else three.
    planes: *mut u8,
}

/// The firmware's `kpu_model_info_t`, as far as it is read.
#[repr(C, align(8))]
pub struct ModelInfo {
    model: *mut c_void,
    size: u32,
    address: u32,
    path: *const c_char,
    max_layers: u32,
}

/// What stands behind the firmware's pointer.
struct Trained {
    learner: Learner,
    model: *mut c_void,
}

/// Ends a function: its answer, or the negative number of a printed error.
fn number(body: impl FnOnce() -> Result<usize>) -> c_int {
    match body() {
        Ok(number) => number as c_int,
        Err(error) => -errno(error),
    }
}

/// C's number for an error, which is printed, as the original has them.
#[inline(never)]
fn errno(error: Error) -> c_int {
    const EPERM: c_int = 1;
    const ENOMEM: c_int = 12;
    const EINVAL: c_int = 22;
    let code = reported(Err(error));
    match error.kind() {
        Kind::PlacesFull | Kind::NoPlace | Kind::NothingToRemove => EPERM,
        Kind::ClassMissing | Kind::NoSample => EPERM,
        Kind::OpenFile => firmware::open_error(),
        Kind::Read | Kind::Write | Kind::ClassifierFile => EIO,
        Kind::Allocate | Kind::FeatureLength => ENOMEM,
        Kind::Null | Kind::MisalignedPointer | Kind::NotLoaded | Kind::Parameter => EINVAL,
        _ => code,
    }
}

/// The classifier behind the firmware's pointer.
///
/// # Safety
/// It was made here and not deleted, or is NULL.
unsafe fn trained<'c>(classifier: *mut c_void) -> Result<&'c mut Trained> {
    // SAFETY: the caller's promise.
    unsafe { get_mut(What::Classifier, classifier.cast()) }
}

/// A count of the firmware's.
fn count(what: What, value: c_int) -> Result<usize> {
    let wrong = |_| Error::about(Kind::Parameter, what, [value as u64, 0]);
    usize::try_from(value).map_err(wrong)
}

/// The length of a model's features: as asked for, else what the model gives, 768 at most.
fn feature_length(model: *mut c_void, asked: c_int) -> Result<usize> {
    let output = Context::find(model)?.opened()?.session.output(0)?;
    if output.dtype != Dtype::F32 {
        return Err(Error::about(Kind::WrongDtype, What::TheOutput, [output.dtype.code(), 0]));
    }
    let has = output.elements();
    match count(What::FeatureLength, asked)? {
        0 => Ok(has.min(USUAL_FEATURE)),
        asked if asked <= has => Ok(asked),
        asked => {
            let what = What::ModelGives;
            Err(Error::about(Kind::FeatureLength, what, [asked as u64, has as u64]))
        }
    }
}

/// Hands the feature of an image to `use_feature`, with the classifier; ends a function.
///
/// # Safety
/// As for [`trained`]; `image` is NULL or whole.
unsafe fn with_feature(
    classifier: *mut c_void,
    image: *const FirmwareImage,
    use_feature: &mut dyn FnMut(&mut Classifier<'static>, &[f32]) -> Result<usize>,
) -> c_int {
    number(|| {
        // SAFETY: the caller's promises.
        let (own, image) = unsafe { (trained(classifier)?, get(What::Image, image)?) };
        let (width, height) =
            (count(What::ImagesWidth, image.width)?, count(What::ImagesHeight, image.height)?);
        let channels = if image.bytes_per_pixel == 1 { 1 } else { 3 };
        let bytes = width.saturating_mul(height).saturating_mul(channels);
        // SAFETY: the caller's promise.
        let pixels = unsafe {
            super::super::slice_of(What::PixAiOfTheImage, image.planes.cast_const(), bytes)
        }?;
        let format = PixelFormat::Planar { channels };
        let context = Context::find(own.model)?;
        context.run_on(Input::Image(Image { format, width, height, pixels }), dma_channel(-1))?;
        use_feature(&mut own.learner.classifier, context.opened()?.session.output_floats(0)?)
    })
}

/// Makes a classifier with room for so many classes and samples of features of a model.
///
/// # Safety
/// `classifier` points to a place for the pointer, `info` to a model's description.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_classifier_init(
    classifier: *mut *mut c_void,
    info: *const ModelInfo,
    classes: c_int,
    samples: c_int,
    _flag: bool,
    _flag2: c_int,
    feature: c_int,
) -> c_int {
    firmware::start();
    number(|| {
        // SAFETY: the caller's promises.
        let (place, info) = unsafe {
            let place = get_mut(What::PlaceForTheClassifier, classifier)?;
            (place, get(What::ModelsDescription, info)?)
        };
        let capacity = Capacity {
            classes: count(What::NumberOfClasses, classes)?,
            samples: count(What::NumberOfSamples, samples)?,
            feature: feature_length(info.model, feature)?,
        };
        let trained = Trained { learner: Learner::new(capacity)?, model: info.model };
        *place = Owned::place()?.put(trained).into_raw().cast();
        Ok(0)
    })
}

/// Deletes a classifier and clears the pointer to it.
///
/// # Safety
/// `classifier` points to a pointer that was made here, or to NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_classifier_del(classifier: *mut *mut c_void) -> c_int {
    number(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let place = get_mut(What::PlaceOfTheClassifier, classifier)?;
            trained(*place)?;
            drop(Owned::<Trained>::from_raw((*place).cast()));
            *place = core::ptr::null_mut();
        }
        Ok(0)
    })
}

/// Makes an image the centre of the class at `place`, negative: of the first that has none; its index.
///
/// # Safety
/// The classifier was made here, the image is whole.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_classifier_add_class_img(
    classifier: *mut c_void,
    image: *const FirmwareImage,
    place: c_int,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        with_feature(classifier, image, &mut |classifier, feature| {
            classifier.add_class(feature, usize::try_from(place).ok())
        })
    }
}

/// Keeps an image for training; its number.
///
/// # Safety
/// The classifier was made here, the image is whole.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_classifier_add_sample_img(
    classifier: *mut c_void,
    image: *const FirmwareImage,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        with_feature(classifier, image, &mut |classifier, feature| classifier.add_sample(feature))
    }
}

/// Removes the last class; the number of those that stay.
///
/// # Safety
/// The classifier was made here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_classifier_rm_class_img(classifier: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    number(|| unsafe { trained(classifier) }?.learner.classifier.remove_class())
}

/// Removes the last sample; the number of those that stay.
///
/// # Safety
/// The classifier was made here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_classifier_rm_sample_img(classifier: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    number(|| unsafe { trained(classifier) }?.learner.classifier.remove_sample())
}

/// Learns from the samples.
///
/// # Safety
/// The classifier was made here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_classifier_train(classifier: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    number(|| unsafe { trained(classifier) }?.learner.classifier.train().map(|()| 0))
}

/// The class whose centre is nearest to an image, and its distance; 0 and the largest number where
/// there is no class. The last four arguments have no meaning.
///
/// # Safety
/// The classifier was made here, the image is whole, `distance` points to a place for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_classifier_predict(
    classifier: *mut c_void,
    image: *const FirmwareImage,
    distance: *mut f32,
    _x: *mut c_int,
    _y: *mut c_int,
    _w: *mut c_int,
    _h: *mut c_int,
) -> c_int {
    // SAFETY: the caller's promises.
    unsafe {
        with_feature(classifier, image, &mut |classifier, feature| {
            let distance = get_mut(What::PlaceForTheDistance, distance)?;
            let nearest = classifier.predict(feature)?;
            let (class, away) = nearest.map_or((0, f32::MAX), |n| (n.class, n.distance));
            *distance = away;
            Ok(class)
        })
    }
}

/// Writes the classes to a file, byte for byte as the original does.
///
/// # Safety
/// The classifier was made here, `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_classifier_save(
    classifier: *mut c_void,
    path: *const c_char,
) -> c_int {
    // SAFETY: the caller's promises.
    number(|| unsafe {
        let own = trained(classifier)?;
        get(What::Path, path)?;
        let mut file = Output::create(path).ok_or(Error::new(Kind::OpenFile))?;
        own.learner.classifier.save(Form::Original, &mut |bytes| match file.write(bytes) {
            true => Ok(()),
            false => Err(Error::of(Kind::Write, What::Classifier)),
        })?;
        Ok(0)
    })
}

/// Makes a classifier of a file. Room for classes and samples is as in the variables where they are
/// above 0, else as in the file, and then written there.
///
/// # Safety
/// `classifier`, `classes` and `samples` point to places for the answer, `info` to a model's
/// description, `path` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_classifier_load(
    classifier: *mut *mut c_void,
    path: *const c_char,
    info: *const ModelInfo,
    classes: *mut c_int,
    samples: *mut c_int,
    feature: c_int,
) -> c_int {
    firmware::start();
    // SAFETY: the caller's promises.
    number(|| unsafe {
        let place = get_mut(What::PlaceForTheClassifier, classifier)?;
        let info = get(What::ModelsDescription, info)?;
        let (classes, samples) =
            (get_mut(What::TheClasses, classes)?, get_mut(What::TheSamples, samples)?);
        get(What::Path, path)?;
        let file = HostFile::open(path)?;
        let mut bytes = Block::new(file.size)?;
        if !file.read(0, &mut bytes) {
            return Err(Error::of(Kind::Read, What::Classifier));
        }
        let file = File::parse(&bytes)?;
        let room =
            |asked: c_int, has| usize::try_from(asked).ok().filter(|&n| n > 0).unwrap_or(has);
        let feature = match file.feature {
            0 => feature_length(info.model, feature)?,
            of_file => of_file,
        };
        let capacity = Capacity {
            classes: room(*classes, file.classes),
            samples: room(*samples, file.samples),
            feature,
        };
        let mut learner = Learner::new(capacity)?;
        learner.classifier.load(&file)?;
        *place = Owned::place()?.put(Trained { learner, model: info.model }).into_raw().cast();
        (*classes, *samples) = (capacity.classes as c_int, capacity.samples as c_int);
        Ok(0)
    })
}
