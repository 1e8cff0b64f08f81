//! The command as a user calls it.

mod check;
mod common;
mod compare;
mod compile;
mod docs;
mod info;
mod package;
mod run;
mod view;
