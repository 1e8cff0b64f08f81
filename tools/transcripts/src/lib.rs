//! Recorded dialogues with the original firmwares: scripts, what they printed, the files and flash
//! contents they saw; and how other answers differ from the recorded ones.
//!
//! The recordings are no part of the repository; see [`folder`].

mod align;
mod differences;
mod judge;
mod line;
mod topic;

pub use align::{Step, align};
pub use differences::{Class, Differences};
pub use judge::judge;
pub use line::{Comparison, Line};
pub use topic::{Content, End, Index, Topic, folder};
