//! What the YOLO versions share: the layout of an output, boxes, and the choice among boxes that
//! overlap.

use bytemuck::Zeroable;
use core::cell::Cell;

use super::scores::{maximum, sigmoid};
use crate::{
    error::{Error, Kind, Result, What},
    math::fma,
    tensor::{ImageShape, elements},
};

/// Values of a box before its class scores: x, y, w, h, objectness.
const BOX_VALUES: usize = 5;
const OBJECTNESS: usize = 4;

/// Which boxes to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// A box counts where its probability is greater than this (0 to 1).
    pub threshold: f32,
    /// Of two boxes of one class whose intersection over union is greater than this (0 to 1), the
    /// less probable one is dropped.
    pub nms: f32,
}

/// A box: centre and size as fractions of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Zeroable)]
pub struct Region {
    /// Centre, from the left.
    pub x: f32,
    /// Centre, from the top.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

/// A box in pixels. It may reach over the right and lower border of the picture, as in MaixPy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// Left border.
    pub x: u32,
    /// Upper border.
    pub y: u32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

impl Region {
    /// The box in a picture of `width` x `height` pixels: borders truncated, negative ones at 0.
    pub fn rect(&self, width: u32, height: u32) -> Rect {
        let (x, w) = pixels(self.x, self.w, width as f32);
        let (y, h) = pixels(self.y, self.h, height as f32);
        Rect { x, y, w, h }
    }

    /// The box in the picture itself, where the net saw the picture fitted into `net` (width,
    /// height) with its aspect ratio kept and bars of equal size around it.
    pub fn unletterbox(&self, net: (u32, u32), picture: (u32, u32)) -> Region {
        let (net_w, net_h) = (u64::from(net.0), u64::from(net.1));
        let (picture_w, picture_h) = (u64::from(picture.0), u64::from(picture.1));
        let fitted = |side: u64, by: u64, of: u64| (side * by).checked_div(of).unwrap_or(0);
        let (fit_w, fit_h) = if net_w * picture_h < net_h * picture_w {
            (net_w, fitted(picture_h, net_w, picture_w))
        } else {
            (fitted(picture_w, net_h, picture_h), net_h)
        };
        let (x, w) = stretch(self.x, self.w, net_w as f32, fit_w as f32);
        let (y, h) = stretch(self.y, self.h, net_h as f32, fit_h as f32);
        Region { x, y, w, h }
    }

    /// Intersection over union of two boxes.
    pub fn iou(&self, other: &Region) -> f32 {
        let w = overlap(self.x, self.w, other.x, other.w);
        let h = overlap(self.y, self.h, other.y, other.h);
        let common = if w < 0.0 || h < 0.0 { 0.0 } else { w * h };
        common / (self.w * self.h + other.w * other.h - common)
    }
}

fn pixels(centre: f32, size: f32, side: f32) -> (u32, u32) {
    let half = size * side / 2.0;
    let begin = fma(centre, side, -half) as u32;
    let end = fma(centre, side, half) as u32;
    (begin, end.saturating_sub(begin))
}

fn stretch(centre: f32, size: f32, net: f32, fit: f32) -> (f32, f32) {
    let bar = (net - fit) / 2.0 / net;
    ((centre - bar) / (fit / net), size * (net / fit))
}

fn overlap(a: f32, a_size: f32, b: f32, b_size: f32) -> f32 {
    let begin = (a - a_size / 2.0).max(b - b_size / 2.0);
    let end = (a + a_size / 2.0).min(b + b_size / 2.0);
    end - begin
}

/// A box with its class; also the memory that the search works in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Zeroable)]
pub struct Detection {
    /// Number of the box: anchor, row, column of the first output, then of the next.
    pub number: u32,
    /// Class; 0 for a model without classes.
    pub class: u32,
    /// Probability that this class is there, 0 to 1.
    pub probability: f32,
    /// Where it is.
    pub region: Region,
    search: Search,
}

/// What a box carries while the search goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Zeroable)]
struct Search {
    /// Which output the box is of, and where its objectness stands there.
    head: u32,
    at: u32,
    /// A class has probability `scale * e^(score - shift)`, or `scale * sigmoid(score)`.
    scale: f32,
    shift: f32,
    /// Probability of the class under way; 0 once the box is out of its race.
    current: f32,
}

/// How class scores become probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Classes {
    /// One class per box: softmax over the classes (YOLOv2).
    Softmax,
    /// Each class by itself: sigmoid (YOLOv3).
    Sigmoid,
}

/// One output of a YOLO model: `[anchor][x, y, w, h, objectness, classes..][row][column]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head<'a> {
    shape: ImageShape,
    anchors: &'a [[f32; 2]],
    /// What the anchors are measured in: this many make the picture's width and height.
    unit: [f32; 2],
    /// Values of one box.
    values: usize,
}

impl<'a> Head<'a> {
    /// The output of `shape`, whose anchors (width, height) are fractions of `unit`.
    pub(super) fn new(shape: ImageShape, anchors: &'a [[f32; 2]], unit: [f32; 2]) -> Result<Self> {
        let channels = shape.channels;
        let values = channels.checked_div(anchors.len()).unwrap_or(0);
        if values < BOX_VALUES || values * anchors.len() != channels {
            let numbers = [channels as u64, anchors.len() as u64];
            return Err(Error::about(Kind::Anchors, What::Nothing, numbers));
        }
        let size = elements(&[1, channels, shape.height, shape.width]);
        if size.is_none_or(|size| size == 0 || u32::try_from(size).is_err()) {
            let numbers = [shape.width as u64, shape.height as u64];
            return Err(Error::about(Kind::Grid, What::Nothing, numbers));
        }
        Ok(Self { shape, anchors, unit, values })
    }

    /// Classes of the model; 0 where boxes have an objectness only.
    pub fn classes(&self) -> usize {
        self.values - BOX_VALUES
    }

    /// Boxes of this output.
    pub fn boxes(&self) -> usize {
        self.anchors.len() * self.cells()
    }

    fn cells(&self) -> usize {
        self.shape.plane()
    }

    /// Hands every box whose objectness is above `threshold` to `found`, in order.
    fn candidates(
        &self,
        output: &[f32],
        classes: Classes,
        threshold: f32,
        mut found: impl FnMut(Detection),
    ) {
        let mut number = 0;
        for (index, anchor) in self.anchors.iter().enumerate() {
            let mut at = index * self.values * self.cells();
            for row in 0..self.shape.height {
                for column in 0..self.shape.width {
                    if let Some(search) = self.search(output, at, classes, threshold) {
                        let region = self.region(output, at, anchor, row, column);
                        found(Detection { number, region, search, ..Detection::default() });
                    }
                    number += 1;
                    at += 1;
                }
            }
        }
    }

    /// The box at `row` and `column`, whose values begin at `at`.
    fn region(
        &self,
        output: &[f32],
        at: usize,
        anchor: &[f32; 2],
        row: usize,
        column: usize,
    ) -> Region {
        let cells = self.cells();
        Region {
            x: (column as f32 + sigmoid(value(output, at))) / self.shape.width as f32,
            y: (row as f32 + sigmoid(value(output, at + cells))) / self.shape.height as f32,
            w: libm::expf(value(output, at + 2 * cells)) * anchor[0] / self.unit[0],
            h: libm::expf(value(output, at + 3 * cells)) * anchor[1] / self.unit[1],
        }
    }

    /// How the classes of the box at `at` become probabilities, if its objectness is above
    /// `threshold`.
    fn search(
        &self,
        output: &[f32],
        at: usize,
        classes: Classes,
        threshold: f32,
    ) -> Option<Search> {
        let at = at + OBJECTNESS * self.cells();
        let objectness = sigmoid(value(output, at));
        if objectness <= threshold {
            return None;
        }
        let mut search = Search { at: at as u32, scale: objectness, ..Search::default() };
        if classes == Classes::Softmax && self.classes() > 0 {
            let scores = (1..=self.classes()).map(|class| value(output, at + class * self.cells()));
            search.shift = maximum(scores.clone());
            search.scale /= scores.map(|score| libm::expf(score - search.shift)).sum::<f32>();
        }
        Some(search)
    }

    /// Probability of `class` at a box of this output.
    fn probability(&self, output: &[f32], class: usize, search: &Search, classes: Classes) -> f32 {
        if self.classes() == 0 {
            return search.scale;
        }
        let score = value(output, search.at as usize + (class + 1) * self.cells());
        match classes {
            Classes::Softmax => search.scale * libm::expf(score - search.shift),
            Classes::Sigmoid => search.scale * sigmoid(score),
        }
    }
}

/// `output[index]`; the index is in range once the output's size was checked against its head.
#[inline(never)]
fn value(output: &[f32], index: usize) -> f32 {
    output.get(index).copied().unwrap_or(f32::NAN)
}

/// Finds the objects in the outputs of a model; they stand at the beginning of `memory`, in the
/// order of their box numbers.
pub(crate) fn detect<'m>(
    heads: &[Head<'_>],
    outputs: &[&[f32]],
    classes: Classes,
    limits: Limits,
    memory: &'m mut [Detection],
) -> Result<&'m [Detection]> {
    check(heads, outputs, memory)?;
    let mut found = 0;
    let mut first = 0;
    for (index, (head, output)) in heads.iter().zip(outputs).enumerate() {
        head.candidates(output, classes, limits.threshold, |mut candidate| {
            candidate.number += first;
            candidate.search.head = index as u32;
            if let Some(place) = memory.get_mut(found) {
                *place = candidate;
                found += 1;
            }
        });
        first += head.boxes() as u32;
    }
    let candidates = memory.get_mut(..found).unwrap_or_default();
    for class in 0..heads.first().map_or(0, Head::classes).max(1) {
        for candidate in candidates.iter_mut() {
            let index = candidate.search.head as usize;
            let probability = match (heads.get(index), outputs.get(index)) {
                (Some(head), Some(output)) => {
                    head.probability(output, class, &candidate.search, classes)
                }
                _ => 0.0,
            };
            candidate.search.current =
                if probability > limits.threshold { probability } else { 0.0 };
        }
        suppress(candidates, class as u32, limits.nms);
    }
    let kept = keep(candidates, |candidate| candidate.probability > 0.0);
    Ok(memory.get(..kept).unwrap_or_default())
}

fn check(heads: &[Head<'_>], outputs: &[&[f32]], memory: &[Detection]) -> Result<()> {
    if heads.len() != outputs.len() {
        let numbers = [outputs.len() as u64, heads.len() as u64];
        return Err(Error::about(Kind::OutputCount, What::Nothing, numbers));
    }
    for (head, output) in heads.iter().zip(outputs) {
        if output.len() != head.shape.elements() {
            let numbers = [output.len() as u64, head.shape.elements() as u64];
            return Err(Error::about(Kind::OutputValues, What::Nothing, numbers));
        }
    }
    let needed: usize = heads.iter().map(Head::boxes).sum();
    if memory.len() < needed {
        let bytes = |boxes: usize| (boxes * size_of::<Detection>()) as u64;
        return Err(Error::about(
            Kind::NoMemory,
            What::ListOfBoxes,
            [bytes(needed), bytes(memory.len())],
        ));
    }
    Ok(())
}

/// Non-maximum suppression for one class: the most probable box stays and those that overlap it
/// leave the race, until nobody is left. Of equal boxes the one with the lower number goes first.
/// A box that stays takes on the class unless it stayed with a more probable one before.
fn suppress(candidates: &mut [Detection], class: u32, nms: f32) {
    while let Some(best) = most_probable(candidates) {
        let Detection { region, search: Search { current, .. }, .. } = *best;
        if current > best.probability {
            best.probability = current;
            best.class = class;
        }
        best.search.current = 0.0;
        for other in candidates.iter_mut().filter(|other| other.search.current > 0.0) {
            if region.iou(&other.region) > nms {
                other.search.current = 0.0;
            }
        }
    }
}

fn most_probable(candidates: &mut [Detection]) -> Option<&mut Detection> {
    let racing = candidates.iter_mut().filter(|candidate| candidate.search.current > 0.0);
    racing.reduce(|best, next| {
        let (a, b) = (best.search.current, next.search.current);
        if b > a || b == a && next.number < best.number { next } else { best }
    })
}

/// Moves the items that are to be kept to the front, in their order, and counts them.
fn keep<T: Copy>(items: &mut [T], wanted: impl Fn(&T) -> bool) -> usize {
    let cells = Cell::from_mut(items).as_slice_of_cells();
    let wanted = cells.iter().map(Cell::get).filter(wanted);
    wanted.zip(cells).map(|(item, place)| place.set(item)).count()
}

#[cfg(test)]
mod tests;
