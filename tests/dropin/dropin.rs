//! The functions of the original KPU library do what MaixPy's and CanMV's C code expects of them.

mod allocations;
mod classifier;
mod doors;
mod firmware;
mod layers;
mod models;
mod task;
