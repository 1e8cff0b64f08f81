//! Scripts on our own firmware (`make firmware`) in the emulated chip print what they print on the
//! desktop program, byte for byte; and what goes wrong on the chip is an exception.

mod board;
mod faults;
mod models;
mod scripts;
mod transcripts;
