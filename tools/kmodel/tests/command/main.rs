//! The command as a user calls it.

mod check;
mod common;
mod info;
mod run;
