//! MaixPy's self-learning classifier: the nearest class centre, the centres moved by k-means.

mod file;
#[cfg(test)]
mod tests;

use core::num::NonZeroUsize;

pub use file::{File, Form};

use crate::{
    error::{Error, Kind, Result, What},
    math::{fma, sqrt},
    tensor::copy,
};

/// Rounds of k-means at most. The centres stand still long before, unless rounding lets two samples
/// change places for ever.
const ROUNDS: usize = 1000;
const UNASSIGNED: u32 = u32::MAX;

/// What a classifier has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Classes.
    pub classes: usize,
    /// Samples that wait for training.
    pub samples: usize,
    /// Values of a feature.
    pub feature: usize,
}

impl Capacity {
    /// f32 values of memory that it takes, or `None` if they do not fit in `usize`.
    pub fn values(&self) -> Option<usize> {
        self.marks()?.checked_mul(self.feature)
    }

    /// u32 marks of memory that it takes, or `None` if they do not fit in `usize`.
    pub fn marks(&self) -> Option<usize> {
        self.classes.checked_add(self.samples)
    }
}

/// The class that is nearest to a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Index of the class.
    pub class: usize,
    /// Euclidean distance from its centre.
    pub distance: f32,
}

/// A classifier over features of a fixed length, in memory of the caller.
#[derive(Debug)]
pub struct Classifier<'m> {
    feature: NonZeroUsize,
    centres: &'m mut [f32],
    /// Per class: 1 where it has an image, else 0.
    present: &'m mut [u32],
    samples: &'m mut [f32],
    /// Per sample: the class it is assigned to while training.
    assigned: &'m mut [u32],
    sample_count: usize,
}

impl<'m> Classifier<'m> {
    /// An empty classifier in [`Capacity::values`] floats and [`Capacity::marks`] marks.
    pub fn new(capacity: Capacity, values: &'m mut [f32], marks: &'m mut [u32]) -> Result<Self> {
        let Some(feature) = NonZeroUsize::new(capacity.feature) else {
            return Err(Error::of(Kind::Parameter, What::FeatureLength));
        };
        let values = part(values, capacity.values())?;
        let marks = part(marks, capacity.marks())?;
        let centres = capacity.classes * capacity.feature;
        let (centres, samples) = values.split_at_mut_checked(centres).unwrap_or_default();
        let (present, assigned) = marks.split_at_mut_checked(capacity.classes).unwrap_or_default();
        present.fill(0);
        Ok(Self { feature, centres, present, samples, assigned, sample_count: 0 })
    }

    /// What it has room for.
    pub fn capacity(&self) -> Capacity {
        Capacity {
            classes: self.present.len(),
            samples: self.assigned.len(),
            feature: self.feature.get(),
        }
    }

    /// Classes that have an image.
    pub fn classes(&self) -> usize {
        self.present.iter().filter(|&&present| present != 0).count()
    }

    /// Samples that wait for training.
    pub fn samples(&self) -> usize {
        self.sample_count
    }

    /// Makes `feature` the centre of the class at `place`, or of the first class that has none, and
    /// gives its index. Of a longer feature the first values count, here as everywhere.
    pub fn add_class(&mut self, feature: &[f32], place: Option<usize>) -> Result<usize> {
        let feature = self.cut(feature)?;
        let places = self.present.len() as u64;
        let class = match place {
            Some(place) => place,
            None => self
                .present
                .iter()
                .position(|&present| present == 0)
                .ok_or_else(|| Error::about(Kind::PlacesFull, What::Classes, [places, 0]))?,
        };
        let centre = self.centres.chunks_exact_mut(self.feature.get()).nth(class);
        let (Some(centre), Some(present)) = (centre, self.present.get_mut(class)) else {
            return Err(Error::about(Kind::NoPlace, What::Class, [class as u64, places]));
        };
        copy(feature, centre);
        *present = 1;
        Ok(class)
    }

    /// Keeps `feature` for training and gives its index.
    pub fn add_sample(&mut self, feature: &[f32]) -> Result<usize> {
        let feature = self.cut(feature)?;
        let sample = self.sample_count;
        let Some(place) = self.samples.chunks_exact_mut(self.feature.get()).nth(sample) else {
            return Err(Error::about(Kind::PlacesFull, What::Samples, [sample as u64, 0]));
        };
        copy(feature, place);
        self.sample_count += 1;
        Ok(sample)
    }

    /// Removes the last class and gives the number of those that are left.
    pub fn remove_class(&mut self) -> Result<usize> {
        let last = self.present.iter_mut().rfind(|present| **present != 0);
        *last.ok_or(Error::of(Kind::NothingToRemove, What::Class))? = 0;
        Ok(self.classes())
    }

    /// Removes the last sample and gives the number of those that are left.
    pub fn remove_sample(&mut self) -> Result<usize> {
        let left = self.sample_count.checked_sub(1);
        self.sample_count = left.ok_or(Error::of(Kind::NothingToRemove, What::Sample))?;
        Ok(self.sample_count)
    }

    /// The class whose centre is nearest to `feature`, the first of equals; `None` while there is no
    /// class, or where the feature is not a number.
    pub fn predict(&self, feature: &[f32]) -> Result<Option<Nearest>> {
        let feature = self.cut(feature)?;
        Ok(nearest(self.centres.chunks_exact(self.feature.get()).zip(&*self.present), feature))
    }

    /// Moves each class to the mean of the samples that are nearest to it, again and again until no
    /// sample changes its class; then drops the samples. A class without samples stays where it is.
    ///
    /// Every class must have an image, and there must be a sample.
    pub fn train(&mut self) -> Result<()> {
        let places = self.present.len() as u64;
        if let Some(class) = self.present.iter().position(|&present| present == 0) {
            return Err(Error::about(Kind::ClassMissing, What::Nothing, [class as u64, places]));
        }
        if self.sample_count == 0 {
            return Err(Error::new(Kind::NoSample));
        }
        self.assigned.fill(UNASSIGNED);
        for _ in 0..ROUNDS {
            if !self.assign() {
                break;
            }
            self.move_centres();
        }
        self.sample_count = 0;
        Ok(())
    }

    /// Assigns each sample to its nearest class; tells whether one changed its class.
    fn assign(&mut self) -> bool {
        let size = self.feature.get();
        let samples = self.samples.chunks_exact(size).take(self.sample_count);
        let mut changed = false;
        for (sample, assigned) in samples.zip(self.assigned.iter_mut()) {
            let nearest = nearest(self.centres.chunks_exact(size).zip(&*self.present), sample);
            let class = nearest.map_or(UNASSIGNED, |nearest| nearest.class as u32);
            changed |= class != *assigned;
            *assigned = class;
        }
        changed
    }

    /// Moves each class to the mean of its samples.
    fn move_centres(&mut self) {
        let size = self.feature.get();
        for (class, centre) in self.centres.chunks_exact_mut(size).enumerate() {
            let samples = self.samples.chunks_exact(size).take(self.sample_count);
            let members = samples
                .zip(self.assigned.iter())
                .filter(|&(_, &assigned)| assigned as usize == class)
                .map(|(sample, _)| sample);
            let count = members.clone().count();
            if count == 0 {
                continue;
            }
            centre.fill(0.0);
            for member in members {
                centre.iter_mut().zip(member).for_each(|(sum, &value)| *sum += value);
            }
            centre.iter_mut().for_each(|sum| *sum /= count as f32);
        }
    }

    fn cut<'f>(&self, feature: &'f [f32]) -> Result<&'f [f32]> {
        let size = self.feature.get();
        let numbers = [feature.len() as u64, size as u64];
        feature
            .get(..size)
            .ok_or_else(|| Error::about(Kind::FeatureLength, What::Classifier, numbers))
    }
}

/// The first `need` of the values of memory.
fn part<T>(memory: &mut [T], need: Option<usize>) -> Result<&mut [T]> {
    let need = need.unwrap_or(usize::MAX);
    let numbers = [need, memory.len()].map(|values| (values as u64).saturating_mul(4));
    let part = memory.get_mut(..need);
    part.ok_or_else(|| Error::about(Kind::NoMemory, What::Classifier, numbers))
}

fn nearest<'c>(
    centres: impl Iterator<Item = (&'c [f32], &'c u32)>,
    feature: &[f32],
) -> Option<Nearest> {
    let mut best: Option<Nearest> = None;
    for (class, (centre, _)) in centres.enumerate().filter(|(_, (_, present))| **present != 0) {
        let distance = distance(centre, feature);
        if distance < best.map_or(f32::INFINITY, |best| best.distance) {
            best = Some(Nearest { class, distance });
        }
    }
    best
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    sqrt(a.iter().zip(b).fold(0.0, |sum, (&a, &b)| fma(a - b, a - b, sum)))
}
