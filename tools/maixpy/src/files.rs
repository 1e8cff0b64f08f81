//! Picture files.

use std::{ffi::OsStr, fs, io::Cursor, path::Path};

use anyhow::{Context, Result};
use image::{ImageFormat, ImageReader, Rgb, RgbImage};

use maix_image::picture::{Format, Picture};

/// Reads a picture of any common format; gray files become gray pictures.
pub fn decode(bytes: &[u8]) -> Result<Picture<Vec<u8>>> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let image = reader.decode().context("not a BMP, JPEG or PNG picture")?;
    if image.color().has_color() {
        return Ok(from_rgb(&image.to_rgb8()));
    }
    let image = image.to_luma8();
    Ok(Picture {
        width: image.width() as usize,
        height: image.height() as usize,
        format: Format::Gray,
        pixels: image.into_raw(),
    })
}

/// An RGB565 picture of an RGB image.
pub fn from_rgb(image: &RgbImage) -> Picture<Vec<u8>> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut picture = Picture::black(width, height, Format::Rgb565);
    for (x, y, &Rgb(rgb)) in image.enumerate_pixels() {
        picture.set_rgb(x as usize, y as usize, rgb);
    }
    picture
}

/// A picture file's bytes; its name's ending says which format (.png, .jpg, .bmp).
pub fn encode<P: AsRef<[u8]>>(picture: &Picture<P>, name: &Path) -> Result<Vec<u8>> {
    let ending = name.extension().and_then(OsStr::to_str).unwrap_or_default();
    let format =
        ImageFormat::from_extension(ending).filter(ImageFormat::writing_enabled).with_context(
            || format!("{}: a picture's name ends in .png, .jpg or .bmp", name.display()),
        )?;
    let mut bytes = Cursor::new(Vec::new());
    to_rgb(picture).write_to(&mut bytes, format).with_context(|| name.display().to_string())?;
    Ok(bytes.into_inner())
}

/// Writes a picture file.
pub fn save<P: AsRef<[u8]>>(picture: &Picture<P>, path: &Path) -> Result<()> {
    fs::write(path, encode(picture, path)?).with_context(|| path.display().to_string())
}

/// An RGB image of a picture.
pub fn to_rgb<P: AsRef<[u8]>>(picture: &Picture<P>) -> RgbImage {
    RgbImage::from_fn(picture.width as u32, picture.height as u32, |x, y| {
        Rgb(picture.rgb(x as usize, y as usize))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_read_again() {
        let mut picture = Picture::black(9, 5, Format::Rgb565);
        picture.pixels.iter_mut().enumerate().for_each(|(i, p)| *p = (i * 53) as u8);
        for ending in ["png", "bmp"] {
            let path = std::env::temp_dir().join(format!("maixpy-{}.{ending}", std::process::id()));
            save(&picture, &path).unwrap();
            let again = decode(&fs::read(&path).unwrap()).unwrap();
            fs::remove_file(&path).unwrap();
            assert_eq!((again.width, again.height, again.format), (9, 5, Format::Rgb565));
            assert_eq!(again.pixels, picture.pixels);
        }
    }

    #[test]
    fn bad_files_and_names_are_errors() {
        assert!(decode(b"no picture").is_err());
        let picture = Picture::black(1, 1, Format::Gray);
        let error = save(&picture, Path::new("x.xyz")).unwrap_err();
        assert!(error.to_string().contains(".png, .jpg or .bmp"), "{error}");
    }
}
