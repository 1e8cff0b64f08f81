//! What stands behind the desktop's `image`, `sensor` and `lcd` modules, so that MaixPy and CanMV
//! scripts run on a PC: pictures with the firmware's exact conversions, and a [`board::Board`]
//! made of files. `mpy_bindings/desktop` calls it through [`exports`].

pub mod affine;
pub mod board;
pub mod camera;
pub mod draw;
pub mod exports;
pub mod files;
pub mod flash;
pub mod font;
pub mod options;
pub mod picture;
pub mod pixel;
pub mod resize;
pub mod screen;

/// The KPU module's library, whose C functions the desktop program links.
pub use maix_kpu::ffi;
