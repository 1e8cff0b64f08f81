//! YOLOv3: one to three outputs of different grids, classes by sigmoid, anchors in pixels of the
//! model's input.

use super::yolo::{self, Classes, Detection, Head, Limits};
use crate::{
    error::{Error, Kind, Result, What},
    tensor::ImageShape,
};

/// The outputs of a YOLOv3 model, each `[anchor][x, y, w, h, objectness, classes..][row][column]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yolo3<'a> {
    heads: &'a [Head<'a>],
}

impl<'a> Yolo3<'a> {
    /// One output of `shape`, with its own anchors (width, height) in pixels of the model's input of
    /// `net` (width, height) pixels. The classes follow from the channels: anchors * (5 + classes).
    pub fn head(shape: ImageShape, anchors: &'a [[f32; 2]], net: (u32, u32)) -> Result<Head<'a>> {
        if net.0 == 0 || net.1 == 0 {
            return Err(Error::about(Kind::Grid, What::Nothing, [net.0.into(), net.1.into()]));
        }
        Head::new(shape, anchors, [net.0 as f32, net.1 as f32])
    }

    /// For the model's outputs, in the order in which [`Self::detect`] gets their values.
    pub fn new(heads: &'a [Head<'a>]) -> Result<Self> {
        let [first, others @ ..] = heads else {
            return Err(Error::about(Kind::OutputCount, What::Nothing, [0, 1]));
        };
        let classes = first.classes();
        if let Some(other) = others.iter().find(|other| other.classes() != classes) {
            let numbers = [other.classes() as u64, classes as u64];
            return Err(Error::about(Kind::ClassCount, What::Nothing, numbers));
        }
        Ok(Self { heads })
    }

    /// Boxes of all outputs: the [`Detection`]s of memory that [`Self::detect`] needs.
    pub fn boxes(&self) -> usize {
        self.heads.iter().map(Head::boxes).sum()
    }

    /// Classes of the model; 0 where a box's probability is its objectness.
    pub fn classes(&self) -> usize {
        self.heads.first().map_or(0, Head::classes)
    }

    /// Finds the objects in the values of the outputs, in the order of their box numbers; boxes of
    /// different outputs suppress each other.
    pub fn detect<'m>(
        &self,
        outputs: &[&[f32]],
        limits: Limits,
        memory: &'m mut [Detection],
    ) -> Result<&'m [Detection]> {
        yolo::detect(self.heads, outputs, Classes::Sigmoid, limits, memory)
    }
}
