//! Reads answers from the outputs of a model: boxes, classes, faces, plates.
//!
//! Everything works on slices that the caller owns; nothing is allocated, and an output is never
//! changed.

pub mod classifier;
pub mod face;
pub mod plate;
pub mod scores;
pub mod yolo;
pub mod yolo2;
pub mod yolo3;

#[cfg(test)]
mod testdata;
