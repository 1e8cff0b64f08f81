//! A KPU layer: the twelve 64-bit words that describe it to the hardware.

/// A layer whose fields agree with each other and whose images lie inside KPU RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {}
