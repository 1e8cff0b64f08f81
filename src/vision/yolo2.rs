//! YOLOv2: one output, classes by softmax, anchors in cells of the grid.

use super::yolo::{self, Classes, Detection, Head, Limits};
use crate::{error::Result, tensor::ImageShape};

/// A YOLOv2 model's output: `[anchor][x, y, w, h, objectness, classes..][row][column]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yolo2<'a> {
    head: Head<'a>,
}

impl<'a> Yolo2<'a> {
    /// For an output of `shape` and the anchors (width, height) that the model was trained with, in
    /// cells of the grid. The classes follow from the channels: anchors * (5 + classes).
    pub fn new(shape: ImageShape, anchors: &'a [[f32; 2]]) -> Result<Self> {
        Ok(Self { head: Self::head(shape, anchors)? })
    }

    /// The output as [`Self::new`] takes it.
    pub fn head(shape: ImageShape, anchors: &'a [[f32; 2]]) -> Result<Head<'a>> {
        Head::new(shape, anchors, [shape.width as f32, shape.height as f32])
    }

    /// Boxes that the output holds: the [`Detection`]s of memory that [`Self::detect`] needs.
    pub fn boxes(&self) -> usize {
        self.head.boxes()
    }

    /// Classes of the model; 0 where a box's probability is its objectness.
    pub fn classes(&self) -> usize {
        self.head.classes()
    }

    /// Finds the objects in the values of the output, in the order of their box numbers.
    ///
    /// A box is reported once, with its most probable class among those in which it was not
    /// suppressed.
    pub fn detect<'m>(
        &self,
        output: &[f32],
        limits: Limits,
        memory: &'m mut [Detection],
    ) -> Result<&'m [Detection]> {
        yolo::detect(&[self.head], &[output], Classes::Softmax, limits, memory)
    }
}
