//! Small kmodels of our own that use every operator: for tests and as seeds of the fuzzers.

pub mod kpu;
pub mod v3;
pub mod v4;

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
