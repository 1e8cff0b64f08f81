//! The camera: a picture, or the pictures of a folder one after the other, again and again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use image::{
    RgbImage,
    imageops::{self, FilterType},
};

use maix_image::picture::Picture;

use crate::files;

/// Where the camera's pictures come from.
pub struct Camera {
    files: Vec<PathBuf>,
    taken: usize,
}

impl Camera {
    /// A camera that sees a picture file, or the picture files of a folder in order of name (the
    /// frames of a video).
    pub fn open(path: &Path) -> Result<Self> {
        let name = || format!("--camera {}", path.display());
        let files = if path.is_dir() {
            let mut files: Vec<_> = fs::read_dir(path)
                .with_context(name)?
                .map(|e| Ok(e?.path()))
                .collect::<Result<_>>()?;
            files.retain(|file| image::ImageFormat::from_path(file).is_ok());
            files.sort();
            files
        } else {
            vec![path.to_path_buf()]
        };
        ensure!(!files.is_empty(), "{}: no picture files in this folder", name());
        let camera = Self { files, taken: 0 };
        camera.read(0)?;
        Ok(camera)
    }

    fn read(&self, index: usize) -> Result<RgbImage> {
        let path = &self.files[index % self.files.len()];
        let image = image::open(path).with_context(|| path.display().to_string())?;
        Ok(image.to_rgb8())
    }

    /// The next picture in the sensor's size: scaled to fill it, what stands out is cut off.
    pub fn take(&mut self, width: u32, height: u32) -> Result<Picture<Vec<u8>>> {
        let image = self.read(self.taken)?;
        self.taken += 1;
        Ok(files::from_rgb(&fill(image, width, height)))
    }
}

fn fill(image: RgbImage, width: u32, height: u32) -> RgbImage {
    if image.dimensions() == (width, height) {
        return image;
    }
    let image = image::DynamicImage::from(image);
    let (w, h) = (u64::from(image.width()), u64::from(image.height()));
    // The largest part of the image that has the sensor's proportions.
    let (cut_w, cut_h) = if w * u64::from(height) > h * u64::from(width) {
        (h * u64::from(width) / u64::from(height), h)
    } else {
        (w, w * u64::from(height) / u64::from(width))
    };
    let part = imageops::crop_imm(
        &image,
        ((w - cut_w) / 2) as u32,
        ((h - cut_h) / 2) as u32,
        cut_w.max(1) as u32,
        cut_h.max(1) as u32,
    );
    let part = image::DynamicImage::from(part.to_image());
    part.resize_exact(width, height, FilterType::Triangle).to_rgb8()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_seen_in_order_and_again() {
        let folder = std::env::temp_dir().join(format!("maixpy-camera-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, level) in [("b.png", 255), ("a.png", 0)] {
            RgbImage::from_pixel(4, 2, image::Rgb([level; 3])).save(folder.join(name)).unwrap();
        }
        fs::write(folder.join("notes.txt"), "no picture").unwrap();
        let mut camera = Camera::open(&folder).unwrap();
        let seen: Vec<_> = (0..3).map(|_| camera.take(8, 8).unwrap().rgb(3, 3)[0]).collect();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(seen, [0, 255, 0]);
    }

    #[test]
    fn what_stands_out_is_cut_off() {
        let wide = RgbImage::from_fn(30, 10, |x, _| image::Rgb([if x < 10 { 255 } else { 0 }; 3]));
        let filled = fill(wide, 10, 10);
        assert!(filled.pixels().all(|p| p.0 == [0; 3]));
        assert!(Camera::open(Path::new("/nowhere.png")).is_err());
    }
}
