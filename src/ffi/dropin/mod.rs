//! The functions that MaixPy and CanMV firmwares take from the closed KPU library, under their old
//! names, so that our archive takes its place.
//!
//! | what | where |
//! |---|---|
//! | what the firmware gives | `firmware` |
//! | loaded models | `context` |
//! | `sipeed_kpu_*`: models | [`models`] |
//! | `sipeed_kpu_*`: looking into models, faces | [`layers`], [`faces`] |
//! | `maix_kpu_classifier_*` | [`classifier`] |
//! | `kpu_run`: layers of the caller's own | [`task`] |
//! | `nncase_*`, with feature `canmv` also `kpu_*`: models in memory | [`sdk`] |
//! | `sipeed_uid_get` | [`uid`] |
//!
//! The C code of these firmwares raises fixed texts; so that a user still learns what is wrong,
//! each function prints one line before it returns an error.

pub mod classifier;
mod context;
pub mod faces;
mod firmware;
pub mod layers;
pub mod models;
pub mod sdk;
pub mod task;
pub mod uid;

use super::{
    errors::{Text, code, last},
    services::print,
};
use crate::error::Result;
use cty::c_int;

/// Bytes of a printed line at most; the longest text of the table with its hint has fewer.
const LINE: usize = 384;

/// Ends a function: an error is printed, and becomes a number.
fn answer(body: impl FnOnce() -> Result<()>) -> c_int {
    reported(body())
}

#[inline(never)]
fn reported(result: Result<()>) -> c_int {
    let code = code(result);
    if code != 0 {
        report();
    }
    code
}

/// Prints the last error and what to do about it.
fn report() {
    let Some(error) = last() else { return };
    let mut line = [0; LINE];
    let mut line = Text::of(&mut line);
    line.write("[maix-kpu] ");
    error.write(&mut |byte| line.push(byte));
    let end = line.length;
    line.write("; ");
    let hint = line.length;
    error.write_hint(&mut |byte| line.push(byte));
    if line.length == hint {
        line.length = end;
    }
    print(line.written());
}
