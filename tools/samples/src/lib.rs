//! Small kmodels of our own that use every operator: for tests and as seeds of the fuzzers.

pub mod kpu;
pub mod v3;
pub mod v4;

use maix_kpu::{error::Result, model::Source};

/// A file that is not in memory: every byte is asked for.
pub struct Streamed<'f>(pub &'f [u8]);

impl Source for Streamed<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        self.0.read(offset, out)
    }
}

/// Every sample, with a name.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("v3_image", v3::image()),
        ("v3_vector", v3::vector()),
        ("v4_floats", v4::floats_file()),
        ("v4_bytes", v4::bytes()),
        ("v4_image", v4::image()),
    ]
}
