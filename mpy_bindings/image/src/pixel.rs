//! Pixel formats of the firmware: RGB565, stored with its high byte first, and 8-bit gray.
//! Source: docs/compatibility.md, images.

/// The 8-bit value of a channel of `N` levels (31: red and blue, 63: green).
const fn widen<const N: u32>(level: u32) -> u8 {
    ((level * 510 + N) / (2 * N)) as u8
}

/// The level of `N` that is nearest to an 8-bit value.
const fn narrow<const N: u32>(value: u8) -> u16 {
    ((value as u32 * 2 * N + 255) / 510) as u16
}

/// Red, green and blue, 8 bits each, of an RGB565 value.
pub const fn rgb(pixel: u16) -> [u8; 3] {
    let pixel = pixel as u32;
    [widen::<31>(pixel >> 11), widen::<63>(pixel >> 5 & 63), widen::<31>(pixel & 31)]
}

/// The nearest RGB565 value.
pub const fn rgb565([red, green, blue]: [u8; 3]) -> u16 {
    narrow::<31>(red) << 11 | narrow::<63>(green) << 5 | narrow::<31>(blue)
}

/// The gray of an RGB565 value by the compact table of the minimum firmwares: green is looked up
/// by its upper three bits, and a fixed share is added for the lower three.
pub fn gray(pixel: u16) -> u8 {
    const LOWER_GREEN: [u8; 8] = [0, 2, 5, 7, 9, 12, 14, 16];
    let [red, green, blue] = rgb(pixel & !(7 << 5)).map(u32::from);
    let table = (299 * red + 587 * green + 114 * blue) / 1000;
    table as u8 + LOWER_GREEN[usize::from(pixel >> 5 & 7)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_and_narrowing_are_inverse() {
        for pixel in 0..=u16::MAX {
            assert_eq!(rgb565(rgb(pixel)), pixel);
        }
        assert_eq!(rgb(0xFFFF), [255, 255, 255]);
        assert_eq!(rgb(0x8410), [132, 130, 132]);
    }

    #[test]
    fn gray_of_every_value_is_the_firmware_s() {
        let folder = std::env::var("MAIX_KPU_TESTDATA").unwrap_or("../../../shared".into());
        let path = format!("{folder}/transcripts/inputs/gray_all_maixpy.bin");
        let Ok(expected) = std::fs::read(&path) else {
            println!("skipped: {path} is not there");
            return;
        };
        for (pixel, expected) in (0..=u16::MAX).zip(expected) {
            assert_eq!(gray(pixel), expected, "{pixel:#06x}");
        }
    }

    #[test]
    fn gray_stays_near_the_exact_luminance() {
        for pixel in 0..=u16::MAX {
            let [red, green, blue] = rgb(pixel).map(f64::from);
            let exact = (0.299 * red + 0.587 * green + 0.114 * blue).floor();
            let difference = f64::from(gray(pixel)) - exact;
            assert!((-2.0..=1.0).contains(&difference), "{pixel:#06x}: {difference}");
        }
    }
}
