//! Whole scripts.

use maix_kpu::kpu::Rounding;
use sha2::{Digest, Sha256};

use crate::board::{Programs, Setup, file, project};

/// The ten digits' pictures as BMP files, which the firmware reads.
fn digits(programs: &Programs) -> Vec<Vec<u8>> {
    let pictures = project().join("examples/mnist/pictures");
    (0..10)
        .map(|digit| {
            let picture = pictures.join(format!("{digit}_0.png"));
            let script = format!(
                "import image, binascii
image.Image({:?}).save('/flash/digit.bmp')
print(binascii.hexlify(open('/flash/digit.bmp', 'rb').read()).decode())",
                picture.display()
            );
            let text = programs.on_desktop("maixpy", &Setup::default(), &script);
            let digits = text.trim().as_bytes().chunks(2);
            digits
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect()
        })
        .collect()
}

#[test]
fn digits_are_read_as_on_the_desktop() {
    let Some(programs) = Programs::find() else { return };
    let mut setup = Setup::flash([
        (0x300000, file("examples/mnist/mnist_uint8.kmodel")),
        (0x400000, file("examples/mnist/mnist_float.kmodel")),
    ]);
    let pictures = digits(&programs).into_iter().enumerate();
    setup.flash.extend(pictures.map(|(digit, bytes)| (0x500000 + 0x1000 * digit, bytes)));
    let script = String::from_utf8(file("examples/mnist/digits_flash.py")).unwrap();
    let text = programs.compare(&setup, &script);
    assert!(text.ends_with("10 of 10 are right by all three ways\n"), "{text}");
}

/// A picture's way from a file over every conversion to a file.
#[test]
fn images_are_as_on_the_desktop() {
    let Some(programs) = Programs::find() else { return };
    let mut setup = Setup::default();
    setup.files.push(("/flash/3.bmp".into(), digits(&programs).swap_remove(3)));
    let text = programs.compare(
        &setup,
        "import image, binascii
def show(name, picture):
    picture.pix_to_ai()
    print(name, picture, '%08x' % binascii.crc32(picture.to_bytes()))
picture = image.Image('/flash/3.bmp')
show('read', picture)
for size in ((14, 14), (56, 40), (20, 60), (28, 28)):
    show('colour', picture.resize(*size))
    show('gray', picture.to_grayscale(1).resize(*size))
show('rainbow', picture.to_rainbow(1))
show('turned', picture.copy().rotation_corr(10, 20, 30, 1, 2, 1.5))
canvas = image.Image(size=(100, 60))
canvas.draw_line(0, 0, 99, 59, color=(255, 0, 0))
canvas.draw_rectangle(5, 5, 40, 30, color=(0, 255, 0), thickness=3)
canvas.draw_circle(60, 30, 20, color=(0, 0, 255), fill=True)
canvas.draw_cross(80, 10, color=(255, 255, 0))
canvas.draw_string(2, 40, 'K210\\r\\n0.97', color=(255, 255, 255), scale=1.5)
canvas.draw_image(picture, 70, 30, x_scale=0.7, y_scale=0.9)
show('drawn', canvas)
canvas.save('/flash/out.bmp')
show('saved', image.Image('/flash/out.bmp'))
for bad in ('/flash/missing.bmp', '/flash/3.txt'):
    try:
        image.Image(bad)
    except OSError as error:
        print(error)
",
    );
    assert_eq!(text.lines().count(), 15, "{text}");
}

#[test]
fn the_board_is_a_micropython_board() {
    let Some(programs) = Programs::find() else { return };
    let text = programs.on_chip(
        &Setup::flash([(0x300001, b"0123456789".to_vec())]),
        "import gc, os, time, machine
from Maix import utils
print(utils.flash_read(0x300000, 12))
with open('a.txt', 'w') as file:
    file.write('kept\\n' * 1000)
print(os.getcwd(), os.listdir('/flash'), os.stat('/flash/a.txt')[6])
begin = time.ticks_ms()
time.sleep_ms(30)
print(30 <= time.ticks_diff(time.ticks_ms(), begin) < 60)
class Closing:
    pass
before = utils.heap_free()
open('b.bin', 'wb').write(bytes(100000))
print(90000 < before - utils.heap_free() < 130000)
os.remove('b.bin')
try:
    bytearray(2000000)
except MemoryError as error:
    print(error)
def deep(n):
    return deep(n + 1)
try:
    deep(0)
except RuntimeError as error:
    print(error)
print(1.1 * 3, 10 ** 20, gc.mem_free() > 900000)
",
    );
    let expected = "bytearray(b'\\xff0123456789\\xff')
/flash ['a.txt'] 5000
True
True
memory allocation failed, allocating 2000000 bytes
maximum recursion depth exceeded
3.3 100000000000000000000 True
";
    assert_eq!(text, expected);
}

/// `machine.unique_id()` is the SHA-256 of the number in the chip's fuses.
#[test]
fn chips_have_numbers() {
    const ADDRESS: usize = 0x3d90;
    let Some(programs) = Programs::find() else { return };
    let numbers: [[u8; 32]; 3] = [
        [0; 32],
        std::array::from_fn(|n| n as u8 + 1),
        std::array::from_fn(|n| (n as u8).wrapping_mul(0x9d) ^ 0xf0),
    ];
    for number in numbers {
        let around = [&[0x55; 8][..], &number, &[0xaa; 8]].concat();
        let setup = Setup { fuses: vec![(ADDRESS - 8, around)], ..Default::default() };
        let text = programs.on_chip(
            &setup,
            "import machine, binascii
print(binascii.hexlify(machine.unique_id()).decode())",
        );
        let expected: String =
            Sha256::digest(number).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text.trim_end(), expected);
    }
}

#[test]
fn layers_are_as_on_the_desktop() {
    let Some(programs) = Programs::find() else { return };
    let mut setup = Setup::flash([
        (0x300000, file("examples/mnist/mnist_uint8.kmodel")),
        (0x400000, file("examples/mnist/mnist_float.kmodel")),
        (0x500000, file("examples/board-check/halves.kmodel")),
    ]);
    let script = String::from_utf8(file("examples/board-check/check.py")).unwrap();
    for (rounding, rule) in [(Rounding::HalfEven, "half to even"), (Rounding::HalfUp, "half up")] {
        setup.rounding = rounding;
        let text = programs.compare(&setup, &script);
        assert!(text.starts_with(&format!("activations are rounded by: {rule}\n")), "{text}");
        assert!(text.lines().filter(|line| line.contains(", CRC ")).count() > 20, "{text}");
    }
}
