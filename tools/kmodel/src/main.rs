//! `kmodel`: inspect, run, check, view and compile kmodels.

fn main() {}
