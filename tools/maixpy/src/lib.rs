//! What stands behind the desktop's `sensor` and `lcd` modules, so that MaixPy and CanMV scripts
//! run on a PC: picture files, and a [`board::Board`] made of files. `mpy_bindings/desktop` calls it
//! through [`exports`].

pub mod board;
pub mod camera;
pub mod exports;
pub mod files;
pub mod flash;
pub mod options;
pub mod screen;

/// The KPU module's library, whose C functions the desktop program links.
pub use maix_kpu::ffi;

/// The library of module `image`, whose C functions the desktop program links.
pub use maix_image;
