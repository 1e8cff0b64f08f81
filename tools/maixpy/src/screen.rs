//! The LCD: every frame shown becomes a PNG file, or appears in a window.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use minifb::{Window, WindowOptions};

use maix_image::picture::Picture;

use crate::files;

/// Where the frames go.
#[derive(Default)]
pub enum Screen {
    /// Nowhere.
    #[default]
    None,
    /// Into a folder: `0001.png`, `0002.png`, ...
    Folder {
        /// The folder.
        path: PathBuf,
        /// Frames shown so far.
        shown: usize,
    },
    /// Into a window; opened with the first frame.
    Window(Option<Box<OpenWindow>>),
}

/// A window; it stays on the thread that opened it.
pub struct OpenWindow(Window);

// SAFETY: the desktop program shows frames from the thread that runs the script's `lcd` calls;
// the state that holds the window is behind a lock, so no two threads use it at once.
unsafe impl Send for OpenWindow {}

impl Screen {
    /// Takes the `--lcd` option: a folder, `window` or `none`.
    pub fn open(option: &str) -> Result<Self> {
        Ok(match option {
            "none" => Screen::None,
            "window" => Screen::Window(None),
            folder => {
                fs::create_dir_all(folder).with_context(|| format!("--lcd {folder}"))?;
                Screen::Folder { path: folder.into(), shown: 0 }
            }
        })
    }

    /// Shows a frame.
    pub fn show<P: AsRef<[u8]>>(&mut self, frame: &Picture<P>) -> Result<()> {
        match self {
            Screen::None => Ok(()),
            Screen::Folder { path, shown } => {
                *shown += 1;
                files::save(frame, &path.join(format!("{shown:04}.png")))
            }
            Screen::Window(window) => {
                let window = match window {
                    Some(window) => window,
                    None => {
                        let opened = Window::new(
                            "maixpy",
                            frame.width,
                            frame.height,
                            WindowOptions { scale: minifb::Scale::X2, ..Default::default() },
                        );
                        window.insert(Box::new(OpenWindow(opened.context("--lcd window")?)))
                    }
                };
                let pixels: Vec<u32> = frame
                    .places()
                    .map(|(x, y)| frame.rgb(x, y))
                    .map(|[r, g, b]| u32::from_be_bytes([0, r, g, b]))
                    .collect();
                window.0.update_with_buffer(&pixels, frame.width, frame.height)?;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maix_image::picture::Format;

    #[test]
    fn frames_become_numbered_files() {
        let folder = std::env::temp_dir().join(format!("maixpy-screen-{}", std::process::id()));
        let mut screen = Screen::open(folder.to_str().unwrap()).unwrap();
        let frame = Picture::black(4, 4, Format::Rgb565);
        screen.show(&frame).unwrap();
        screen.show(&frame).unwrap();
        let there = ["0001.png", "0002.png"].map(|name| folder.join(name).is_file());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(there, [true, true]);
    }
}
