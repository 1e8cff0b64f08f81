//! Pictures: reading, fitting to a size, drawing boxes.

use crate::failure::{Failure, Result};
use clap::ValueEnum;
use image::{DynamicImage, Rgb, RgbImage, imageops::FilterType};
use maix_kpu::vision::yolo::Region;
use std::path::Path;

/// How a picture of another size becomes one of the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Resize {
    /// Width and height are scaled, each by its own factor
    Stretch,
    /// The largest part of the model's aspect ratio, cut from the middle, is scaled
    Crop,
    /// The whole picture is scaled with its aspect ratio kept; what is left is grey
    Letterbox,
}

/// Value of the bars of a letterbox.
const BAR: u8 = 128;

/// The part of a picture (x, y, width, height) that has the aspect ratio of `to`, in the middle.
fn middle(from: (u32, u32), to: (u32, u32)) -> [u32; 4] {
    let scaled = |side: u32, by: u32, of: u32| {
        ((u64::from(side) * u64::from(by) / u64::from(of)) as u32).max(1)
    };
    let (width, height) =
        if u64::from(from.0) * u64::from(to.1) > u64::from(from.1) * u64::from(to.0) {
            (scaled(from.1, to.0, to.1).min(from.0), from.1)
        } else {
            (from.0, scaled(from.0, to.1, to.0).min(from.1))
        };
    [(from.0 - width) / 2, (from.1 - height) / 2, width, height]
}

impl Resize {
    /// The picture at the size `to`.
    pub fn apply(self, picture: &DynamicImage, to: (u32, u32)) -> DynamicImage {
        let filter = FilterType::Triangle;
        match self {
            Self::Stretch => picture.resize_exact(to.0, to.1, filter),
            Self::Crop => {
                let [x, y, width, height] = middle((picture.width(), picture.height()), to);
                picture.crop_imm(x, y, width, height).resize_exact(to.0, to.1, filter)
            }
            Self::Letterbox => {
                let from = (picture.width(), picture.height());
                let [x, y, width, height] = middle(to, from);
                let inner = picture.resize_exact(width, height, filter).into_rgb8();
                let mut whole = RgbImage::from_pixel(to.0, to.1, Rgb([BAR; 3]));
                image::imageops::replace(&mut whole, &inner, x.into(), y.into());
                whole.into()
            }
        }
    }

    /// A box that was found at the size `net`, in the picture as it was.
    pub fn undo(self, region: Region, net: (u32, u32), picture: (u32, u32)) -> Region {
        match self {
            Self::Stretch => region,
            Self::Letterbox => region.unletterbox(net, picture),
            Self::Crop => {
                let [x, y, width, height] = middle(picture, net).map(|v| v as f32);
                let (all_width, all_height) = (picture.0 as f32, picture.1 as f32);
                Region {
                    x: (x + region.x * width) / all_width,
                    y: (y + region.y * height) / all_height,
                    w: region.w * width / all_width,
                    h: region.h * height / all_height,
                }
            }
        }
    }
}

/// Opens a picture.
pub fn open(path: &Path) -> Result<DynamicImage> {
    let bytes = std::fs::read(path).map_err(|e| Failure::file(path, e))?;
    image::load_from_memory(&bytes)
        .map_err(|e| Failure::new(format!("{}: {e}", path.display()), "give a .png, .jpg or .bmp"))
}

/// Colours of the classes' boxes.
const COLOURS: [[u8; 3]; 6] =
    [[255, 40, 40], [40, 220, 40], [60, 120, 255], [255, 200, 0], [255, 60, 255], [0, 220, 220]];

/// Draws the frame of a box, two pixels wide.
pub fn draw(picture: &mut RgbImage, region: &Region, class: usize) {
    let (width, height) = picture.dimensions();
    let rect = region.rect(width, height);
    let (right, bottom) = (
        (rect.x + rect.w).min(width.saturating_sub(1)),
        (rect.y + rect.h).min(height.saturating_sub(1)),
    );
    let colour = Rgb(COLOURS[class % COLOURS.len()]);
    for y in rect.y..=bottom {
        for x in rect.x..=right {
            let inner = x >= rect.x + 2 && x + 2 <= right && y >= rect.y + 2 && y + 2 <= bottom;
            if !inner {
                picture.put_pixel(x, y, colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crop_takes_the_middle_and_letterbox_keeps_all() {
        // Left half black, right half white.
        let picture: DynamicImage =
            RgbImage::from_fn(8, 4, |x, _| Rgb([if x < 4 { 0 } else { 255 }; 3])).into();
        assert_eq!(middle((8, 4), (4, 4)), [2, 0, 4, 4]);
        let cropped = Resize::Crop.apply(&picture, (4, 4)).into_rgb8();
        assert_eq!([0, 1, 2, 3].map(|x| cropped.get_pixel(x, 0).0[0]), [0, 0, 255, 255]);
        let boxed = Resize::Letterbox.apply(&picture, (8, 8)).into_rgb8();
        assert_eq!([1, 2, 5, 6].map(|y| boxed.get_pixel(0, y).0[0]), [BAR, 0, 0, BAR]);
        let thin: DynamicImage = RgbImage::new(1000, 1).into();
        assert_eq!(Resize::Letterbox.apply(&thin, (8, 8)).width(), 8);
        assert_eq!(Resize::Crop.apply(&thin, (8, 8)).height(), 8);
    }

    #[test]
    fn boxes_come_back_where_they_were() {
        let whole = Region { x: 0.5, y: 0.5, w: 1.0, h: 1.0 };
        let back = Resize::Crop.undo(whole, (4, 4), (8, 4));
        assert_eq!(back, Region { x: 0.5, y: 0.5, w: 0.5, h: 1.0 });
        let picture = Region { x: 0.5, y: 0.5, w: 1.0, h: 0.5 };
        let back = Resize::Letterbox.undo(picture, (8, 8), (8, 4));
        assert_eq!(back, whole);
        assert_eq!(Resize::Stretch.undo(whole, (4, 4), (8, 4)), whole);
    }

    #[test]
    fn frames_stay_inside_the_picture() {
        let mut picture = RgbImage::new(10, 10);
        draw(&mut picture, &Region { x: 0.9, y: 0.9, w: 0.6, h: 0.6 }, 7);
        assert_eq!(picture.get_pixel(9, 9).0, COLOURS[1]);
        assert_eq!(picture.get_pixel(0, 0).0, [0; 3]);
        draw(&mut picture, &Region { x: 3.0, y: 3.0, w: 0.1, h: 0.1 }, 0);
    }
}
