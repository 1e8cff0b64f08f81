//! Lines, boxes, circles, text and other pictures, drawn into a picture.

use alloc::{string::ToString, vec::Vec};
use core::convert::Infallible;

use embedded_graphics::{
    draw_target::DrawTarget,
    geometry::{OriginDimensions, Point, Size},
    mono_font::{MonoTextStyle, ascii::FONT_8X13},
    pixelcolor::BinaryColor,
    prelude::*,
    primitives::{
        Circle, Line, PrimitiveStyle, PrimitiveStyleBuilder, Rectangle, StrokeAlignment,
        StyledDrawable,
    },
    text::{Baseline, Text},
};

use crate::{
    font::Font,
    picture::{Format, Picture},
};

/// Paints one value wherever something is drawn.
struct Pen<'p, P> {
    picture: &'p mut Picture<P>,
    value: u16,
}

impl<P> OriginDimensions for Pen<'_, P> {
    fn size(&self) -> Size {
        Size::new(self.picture.width as u32, self.picture.height as u32)
    }
}

impl<P: AsRef<[u8]> + AsMut<[u8]>> DrawTarget for Pen<'_, P> {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<BinaryColor>>,
    {
        let area = self.bounding_box();
        for Pixel(place, color) in pixels {
            if color.is_on() && area.contains(place) {
                self.picture.set(place.x as usize, place.y as usize, self.value);
            }
        }
        Ok(())
    }
}

fn style(thickness: u32, fill: bool) -> PrimitiveStyle<BinaryColor> {
    let style = PrimitiveStyleBuilder::new()
        .stroke_color(BinaryColor::On)
        .stroke_width(thickness)
        .stroke_alignment(StrokeAlignment::Inside);
    if fill { style.fill_color(BinaryColor::On).build() } else { style.build() }
}

impl<P: AsRef<[u8]> + AsMut<[u8]>> Picture<P> {
    fn draw<S: StyledDrawable<PrimitiveStyle<BinaryColor>, Color = BinaryColor, Output = ()>>(
        &mut self,
        shape: &S,
        style: &PrimitiveStyle<BinaryColor>,
        value: u16,
    ) {
        let Ok(()) = shape.draw_styled(style, &mut Pen { picture: self, value });
    }

    /// Draws a line from one place to another.
    pub fn draw_line(&mut self, from: (i32, i32), to: (i32, i32), value: u16, thickness: u32) {
        let style = PrimitiveStyle::with_stroke(BinaryColor::On, thickness);
        self.draw(&Line::new(from.into(), to.into()), &style, value);
    }

    /// Draws a box whose frame lies inside of it.
    pub fn draw_rectangle(
        &mut self,
        (x, y, width, height): (i32, i32, u32, u32),
        value: u16,
        thickness: u32,
        fill: bool,
    ) {
        let shape = Rectangle::new(Point::new(x, y), Size::new(width, height));
        self.draw(&shape, &style(thickness, fill), value);
    }

    /// Draws a circle around a place.
    pub fn draw_circle(
        &mut self,
        center: (i32, i32),
        radius: u32,
        value: u16,
        thickness: u32,
        fill: bool,
    ) {
        let shape = Circle::with_center(center.into(), 2 * radius + 1);
        self.draw(&shape, &style(thickness, fill), value);
    }

    /// Draws a cross with arms of `size` pixels.
    pub fn draw_cross(&mut self, (x, y): (i32, i32), value: u16, size: i32, thickness: u32) {
        self.draw_line((x - size, y), (x + size, y), value, thickness);
        self.draw_line((x, y - size), (x, y + size), value, thickness);
    }

    /// Draws another picture, scaled, with its upper left corner at a place.
    pub fn draw_picture<Q: AsRef<[u8]>>(
        &mut self,
        picture: &Picture<Q>,
        (left, top): (i32, i32),
        (scale_x, scale_y): (f32, f32),
    ) {
        let width = (picture.width as f32 * scale_x) as i32;
        let height = (picture.height as f32 * scale_y) as i32;
        for y in top.max(0)..(top + height).min(self.height as i32) {
            for x in left.max(0)..(left + width).min(self.width as i32) {
                let from_x = (((x - left) as f32 / scale_x) as usize).min(picture.width - 1);
                let from_y = (((y - top) as f32 / scale_y) as usize).min(picture.height - 1);
                let (x, y) = (x as usize, y as usize);
                match (picture.format, self.format) {
                    (Format::Rgb565, Format::Gray) => {
                        self.set(x, y, u16::from(picture.gray(from_x, from_y)));
                    }
                    (Format::Gray, Format::Rgb565) => {
                        self.set_rgb(x, y, picture.rgb(from_x, from_y));
                    }
                    _ => self.set(x, y, picture.value(from_x, from_y)),
                }
            }
        }
    }

    /// Draws text with its upper left corner at a place; `\n` begins a new line.
    ///
    /// A character of the built-in font takes 8 x 12 pixels as on the boards, times `scale`. `font`
    /// has the glyphs of the text's characters in their order.
    pub fn draw_text(
        &mut self,
        text: &str,
        (left, top): (i32, i32),
        value: u16,
        scale: f32,
        (space_x, space_y): (i32, i32),
        font: Option<&Font<'_>>,
    ) {
        let (width, height) = font.map_or((8, 12), |font| (font.width, font.height));
        let scaled = |length: usize| libm::roundf(length as f32 * scale) as i32;
        let mut place = Point::new(left, top);
        let mut previous = None;
        for (number, character) in text.chars().enumerate() {
            if previous.replace(character) == Some('\r') && character == '\n' {
                continue;
            }
            if matches!(character, '\n' | '\r') {
                place = Point::new(left, place.y + scaled(height) + space_y);
                continue;
            }
            let glyph = match font {
                Some(font) => font.glyph(number),
                None => built_in_glyph(character),
            };
            for (index, _) in glyph.iter().enumerate().filter(|(_, on)| **on) {
                let (x, y) = (index % width, index / width);
                let corner = place + Point::new(scaled(x), scaled(y));
                let end = place + Point::new(scaled(x + 1), scaled(y + 1));
                let size = Size::new((end.x - corner.x) as u32, (end.y - corner.y) as u32);
                let dot = Rectangle::new(corner, size);
                self.draw(&dot, &PrimitiveStyle::with_fill(BinaryColor::On), value);
            }
            place.x += scaled(width) + space_x;
        }
    }
}

/// The 8 x 12 dots of a character of the built-in font.
fn built_in_glyph(character: char) -> Vec<bool> {
    let mut glyph = Picture::black(8, 12, Format::Gray);
    let style = MonoTextStyle::new(&FONT_8X13, BinaryColor::On);
    let text = character.to_string();
    let text = Text::with_baseline(&text, Point::new(0, -1), style, Baseline::Top);
    let Ok(_) = text.draw(&mut Pen { picture: &mut glyph, value: 1 });
    glyph.pixels.iter().map(|&dot| dot == 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(picture: &Picture<Vec<u8>>) -> Vec<(usize, usize)> {
        picture.places().filter(|&(x, y)| picture.value(x, y) != 0).collect()
    }

    #[test]
    fn shapes_outside_do_not_matter() {
        let mut picture = Picture::black(16, 16, Format::Rgb565);
        picture.draw_rectangle((-5, -5, 100, 100), 0xFFFF, 1, false);
        picture.draw_circle((40, 40), 3, 0xFFFF, 1, true);
        picture.draw_text("far", (90, -90), 0xFFFF, 2.0, (0, 0), None);
        assert_eq!(painted(&picture), []);
    }

    #[test]
    fn a_rectangle_has_its_frame_inside() {
        let mut picture = Picture::black(8, 8, Format::Gray);
        picture.draw_rectangle((2, 2, 3, 3), 9, 1, false);
        let frame = [(2, 2), (3, 2), (4, 2), (2, 3), (4, 3), (2, 4), (3, 4), (4, 4)];
        assert_eq!(painted(&picture), frame);
    }

    #[test]
    fn text_moves_on_by_the_scaled_width() {
        let mut one = Picture::black(64, 24, Format::Gray);
        one.draw_text("I", (0, 0), 1, 2.0, (0, 0), None);
        let mut two = Picture::black(64, 24, Format::Gray);
        two.draw_text(" I", (0, 0), 1, 2.0, (0, 0), None);
        let moved: Vec<_> = painted(&one).into_iter().map(|(x, y)| (x + 16, y)).collect();
        assert!(!moved.is_empty());
        assert_eq!(painted(&two), moved);
    }

    #[test]
    fn a_scaled_picture_covers_its_area() {
        let mut small = Picture::black(2, 2, Format::Gray);
        small.pixels.fill(255);
        let mut picture = Picture::black(8, 8, Format::Rgb565);
        picture.draw_picture(&small, (6, 6), (3.0, 3.0));
        assert_eq!(painted(&picture), [(6, 6), (7, 6), (6, 7), (7, 7)]);
        assert_eq!(picture.rgb(6, 6), [255, 255, 255]);
    }
}
