//! Pictures, floats and bytes become what a model takes: every format, every element type, in main
//! memory and in KPU RAM.

use maix_kpu::{
    error::{Kind, Result},
    input::{Conversion, Image, Input, PixelFormat},
    kpu::memory,
    model::{Place, Tensor},
    tensor::Dtype,
};

const WIDTH: usize = 3;
const HEIGHT: usize = 2;

/// Six pixels whose colours RGB565 can hold, as red, green, blue.
const PIXELS: [[u8; 3]; WIDTH * HEIGHT] =
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [132, 130, 132], [8, 4, 247]];
/// The same as MaixPy keeps them: two bytes a pixel, the upper one first.
const RGB565: [u8; 2 * WIDTH * HEIGHT] =
    [0xF8, 0x00, 0x07, 0xE0, 0x00, 0x1F, 0xFF, 0xFF, 0x84, 0x10, 0x08, 0x3E];

fn tensor(dtype: Dtype, channels: usize) -> Tensor {
    Tensor { place: Place::Main(0), dtype, shape: [1, channels, HEIGHT, WIDTH] }
}

fn planar() -> Vec<u8> {
    (0..3).flat_map(|c| PIXELS.map(|pixel| pixel[c])).collect()
}

fn picture(format: PixelFormat, pixels: &[u8]) -> Input<'_> {
    Input::Image(Image { format, width: WIDTH, height: HEIGHT, pixels })
}

/// The bytes that a model gets, at an address where floats may lie.
fn put(input: &Input<'_>, tensor: &Tensor, conversion: &Conversion) -> Result<Vec<u8>> {
    let mut words = vec![0u32; tensor.bytes().div_ceil(4)];
    let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..tensor.bytes()];
    input.put(tensor, conversion, bytes)?;
    Ok(bytes.to_vec())
}

fn floats(input: &Input<'_>, channels: usize, conversion: &Conversion) -> Vec<f32> {
    let bytes = put(input, &tensor(Dtype::F32, channels), conversion).unwrap();
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn bytes(input: &Input<'_>, channels: usize, conversion: &Conversion) -> Vec<u8> {
    put(input, &tensor(Dtype::U8, channels), conversion).unwrap()
}

/// Every format with the bytes that a model of bytes gets from it.
fn pictures<'p>(planar: &'p [u8], rgb888: &'p [u8]) -> [(Input<'p>, usize, &'p [u8]); 5] {
    let one_plane = PixelFormat::Planar { channels: 1 };
    [
        (picture(PixelFormat::Planar { channels: 3 }, planar), 3, planar),
        (picture(PixelFormat::Rgb888, rgb888), 3, planar),
        (picture(PixelFormat::Rgb565, &RGB565), 3, planar),
        (picture(PixelFormat::Gray, &planar[..6]), 1, &planar[..6]),
        (picture(one_plane, &planar[..6]), 1, &planar[..6]),
    ]
}

#[test]
fn every_format_of_pictures() {
    let (planar, rgb888) = (planar(), PIXELS.concat());
    for (input, channels, expected) in pictures(&planar, &rgb888) {
        let default = Conversion::default();
        assert_eq!(bytes(&input, channels, &default), expected, "{input:?}");
        let scaled: Vec<f32> = expected.iter().map(|&byte| f32::from(byte) / 255.0).collect();
        assert_eq!(floats(&input, channels, &default), scaled, "{input:?}");
    }
}

#[test]
fn every_colour_of_rgb565() {
    for bits in 0..32u16 {
        let pixel = (bits << 11 | (2 * bits) << 5 | bits).to_be_bytes();
        let image = Image { format: PixelFormat::Rgb565, width: 1, height: 1, pixels: &pixel };
        let tensor = Tensor { shape: [1, 3, 1, 1], ..tensor(Dtype::U8, 3) };
        let five = (f32::from(bits) * 255.0 / 31.0 + 0.5).floor() as u8;
        let six = (f32::from(2 * bits) * 255.0 / 63.0 + 0.5).floor() as u8;
        let got = put(&Input::Image(image), &tensor, &Conversion::default()).unwrap();
        assert_eq!(got, [five, six, five]);
    }
}

#[test]
fn ranges_scales_means_and_deviations() {
    let planar = planar();
    let input = picture(PixelFormat::Planar { channels: 3 }, &planar);
    let with = |conversion: Conversion| floats(&input, 3, &conversion);
    // Bytes 0, 255 and 132 of the red plane.
    let at = |values: Vec<f32>| [values[1], values[0], values[4]];
    assert_eq!(at(with(Conversion::range(0.0, 1.0))), [0.0, 1.0, 132.0 / 255.0]);
    assert_eq!(at(with(Conversion::range(0.0, 255.0))), [0.0, 255.0, 132.0]);
    assert_eq!(at(with(Conversion::range(-1.0, 1.0)))[..2], [-1.0, 1.0]);
    assert_eq!(at(with(Conversion::explicit(0.5, 10.0, 2.0))), [-5.0, 58.75, 28.0]);

    // A model of bytes: the explicit scaling counts, the range of pixels does not.
    let range = Conversion::range(-1.0, 1.0);
    assert_eq!(bytes(&input, 3, &range), planar);
    let explicit = Conversion::explicit(0.5, 10.0, 2.0);
    let expected = [255, 0, 0, 255, 132, 8].map(|red: u8| {
        let value = (f32::from(red) * 0.5 - 10.0) / 2.0;
        // Half away from zero, cut to a byte.
        value.round().clamp(0.0, 255.0) as u8
    });
    assert_eq!(bytes(&input, 3, &explicit)[..6], expected);
}

#[test]
fn lists_of_floats_and_bytes() {
    let values = [0.4, 0.5, 1.5, -3.0, 254.5, 300.0];
    let list = Input::Floats(&values);
    assert_eq!(floats(&list, 1, &Conversion::default()), values);
    assert_eq!(bytes(&list, 1, &Conversion::default()), [0, 1, 2, 0, 255, 255]);
    assert_eq!(
        floats(&list, 1, &Conversion::explicit(2.0, 1.0, 4.0)),
        values.map(|value| (value * 2.0 - 1.0) / 4.0)
    );
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, -0.0];
    assert_eq!(bytes(&Input::Floats(&odd), 1, &Conversion::default())[1..], [255, 0, 255, 0, 0]);

    let list = Input::Bytes(&[0, 1, 2, 100, 254, 255]);
    assert_eq!(floats(&list, 1, &Conversion::default()), [0.0, 1.0, 2.0, 100.0, 254.0, 255.0]);
    assert_eq!(bytes(&list, 1, &Conversion::default()), [0, 1, 2, 100, 254, 255]);
    assert_eq!(bytes(&list, 1, &Conversion::explicit(2.0, 3.0, 1.0)), [0, 0, 1, 197, 255, 255]);
}

#[test]
fn raw_bytes_stay_whatever_the_conversion() {
    let raw: Vec<u8> = (0..24).collect();
    let conversion = Conversion::explicit(9.0, 9.0, 9.0);
    let input = Input::Raw(&raw);
    assert_eq!(put(&input, &tensor(Dtype::F32, 1), &conversion).unwrap(), raw);
    let input = Input::Raw(&raw[..18]);
    assert_eq!(put(&input, &tensor(Dtype::U8, 3), &conversion).unwrap(), raw[..18]);
}

#[test]
fn kpu_ram_gets_what_main_memory_gets() {
    let (planar, rgb888) = (planar(), PIXELS.concat());
    let values: Vec<f32> = (0..18).map(|i| i as f32 * 14.9).collect();
    let lists = [(Input::Floats(&values), 3), (Input::Bytes(&planar), 3), (Input::Raw(&planar), 3)];
    let pictures = pictures(&planar, &rgb888).map(|(input, channels, _)| (input, channels));
    for (input, channels) in pictures.into_iter().chain(lists) {
        for conversion in [Conversion::default(), Conversion::explicit(0.7, 3.0, 1.1)] {
            let tensor = tensor(Dtype::U8, channels);
            let (mut ram, mut expected) = (vec![0xA5; 64 * 20], vec![0xA5; 64 * 20]);
            let contiguous = put(&input, &tensor, &conversion).unwrap();
            memory::upload(&mut expected, 5, tensor.image(), &contiguous).unwrap();
            input.put_in_kpu(&tensor, &conversion, 5, &mut ram).unwrap();
            assert_eq!(ram, expected, "{input:?} {conversion:?}");
        }
    }
}

#[test]
fn batches_in_kpu_ram_follow_each_other() {
    let tensor = Tensor { shape: [2, 3, HEIGHT, WIDTH], ..tensor(Dtype::U8, 3) };
    let list: Vec<u8> = (0..36).collect();
    let mut ram = vec![0; 64 * 20];
    Input::Bytes(&list).put_in_kpu(&tensor, &Conversion::default(), 1, &mut ram).unwrap();
    let mut image = [0; 18];
    memory::download(&ram, 1 + memory::rows(tensor.image()), tensor.image(), &mut image).unwrap();
    assert_eq!(image, list[18..]);
}

#[test]
fn wrong_sizes_say_both() {
    let text = |input: Input<'_>, dtype, channels| {
        put(&input, &tensor(dtype, channels), &Conversion::default()).unwrap_err().to_string()
    };
    let planar = planar();
    for dtype in [Dtype::U8, Dtype::F32] {
        assert_eq!(
            text(picture(PixelFormat::Rgb565, &RGB565), dtype, 1),
            "the model wants an image of 3x2x1, the image is 3x2x3"
        );
        let narrow = Image { format: PixelFormat::Gray, width: 2, height: 2, pixels: &planar[..4] };
        assert_eq!(
            text(Input::Image(narrow), dtype, 1),
            "the model wants an image of 3x2x1, the image is 2x2x1"
        );
        assert_eq!(
            text(picture(PixelFormat::Rgb888, &planar[..17]), dtype, 3),
            "the image has 17 bytes, 18 are needed"
        );
        assert_eq!(
            text(Input::Floats(&[0.0; 5]), dtype, 1),
            "the model wants 6 values, 5 were given"
        );
        assert_eq!(text(Input::Bytes(&[0; 7]), dtype, 1), "the model wants 6 values, 7 were given");
        assert_eq!(
            text(Input::Raw(&[0; 9]), dtype, 1),
            format!("the raw input has 9 bytes, {} are needed", 6 * dtype.size())
        );
    }
}

#[test]
fn vectors_and_batches_are_no_pictures() {
    let image = Image { format: PixelFormat::Gray, width: 1, height: 1, pixels: &[0] };
    for shape in [[1, 4, 1, 1], [2, 1, 1, 1]] {
        let tensor = Tensor { shape, ..tensor(Dtype::U8, 1) };
        let error = put(&Input::Image(image), &tensor, &Conversion::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::NotAnImage, "{shape:?}");
    }
}
