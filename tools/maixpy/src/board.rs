//! The board that the script sees: flash, camera, screen, key.

use std::{
    process,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use maix_image::picture::Picture;

use crate::{camera::Camera, flash::Flash, options::Options, screen::Screen};

/// How long one press of the BOOT key lasts.
const PRESS: Duration = Duration::from_millis(100);

/// Everything that is not memory or CPU.
#[derive(Default)]
pub struct Board {
    /// The flash.
    pub flash: Flash,
    camera: Option<Camera>,
    screen: Screen,
    frames: Frames,
    key: Key,
}

/// A frame is a picture taken, or one shown without a picture taken since the last one shown.
#[derive(Default)]
struct Frames {
    count: u32,
    taken: u32,
    limit: Option<u32>,
    taken_since_shown: bool,
}

#[derive(Default)]
struct Key {
    presses: Vec<u32>,
    pressed: Option<Instant>,
}

impl Board {
    /// The board that the options describe.
    pub fn new(options: &Options) -> Result<Self> {
        let mut flash = Flash::default();
        options.flash.iter().try_for_each(|option| flash.load(option))?;
        if let Some(seconds) = options.timeout {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(seconds));
                eprintln!("maixpy: stopped after {seconds} s (--timeout)");
                process::exit(124);
            });
        }
        Ok(Self {
            flash,
            camera: options.camera.as_deref().map(Camera::open).transpose()?,
            screen: Screen::open(&options.lcd)?,
            frames: Frames { limit: options.frames, ..Default::default() },
            key: Key { presses: options.press.clone(), pressed: None },
        })
    }

    /// The next picture of the camera; `None` when `--frames` are over.
    pub fn take(&mut self, width: u32, height: u32) -> Result<Option<Picture<Vec<u8>>>> {
        if self.frames.limit == Some(self.frames.taken) {
            return Ok(None);
        }
        self.frames.taken += 1;
        self.frames.taken_since_shown = true;
        self.next_frame();
        let camera = self.camera.as_mut().context(
            "no camera on this PC; give `maixpy --camera PICTURE` (or a folder of pictures)",
        )?;
        camera.take(width, height).map(Some)
    }

    /// Shows a frame on the LCD.
    pub fn show<P: AsRef<[u8]>>(&mut self, frame: &Picture<P>) -> Result<()> {
        if !std::mem::take(&mut self.frames.taken_since_shown) {
            self.next_frame();
        }
        self.screen.show(frame)
    }

    fn next_frame(&mut self) {
        self.frames.count += 1;
        if self.key.presses.contains(&self.frames.count) {
            self.key.pressed = Some(Instant::now());
        }
    }

    /// Whether the BOOT key is held down.
    pub fn key_is_down(&self) -> bool {
        self.key.pressed.is_some_and(|since| since.elapsed() < PRESS)
    }
}
