//! x
use super::Imported;
use crate::problem::Problem;
pub fn import(bytes: &[u8], folder: Option<&std::path::Path>) -> Result<Imported, Vec<Problem>> { let _ = (bytes, folder); todo!() }
