//! What is not a kmodel that we run is named, with MaixPy's number, a text and what to do next.

use maix_kpu::{
    error::{Code, Error, Kind},
    model::{Model, v4},
};

fn error(bytes: &[u8]) -> Error {
    Model::open(&bytes).expect_err("not a kmodel that we run")
}

/// The bytes, followed by others as they stand in a file of its kind.
fn file(head: &[u8]) -> Vec<u8> {
    let mut file = head.to_vec();
    file.extend((0..200u32).map(|i| (i * 37 % 251) as u8));
    file
}

/// The words, as bytes.
fn words(words: &[u32]) -> Vec<u8> {
    file(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
}

#[test]
fn every_foreign_file_is_named() {
    let ldmk = v4::IDENTIFIER;
    // An ONNX model begins with its IR version and its producer; an old one with the graph.
    let onnx = file(b"\x08\x08\x12\x07pytorch\x1a\x051.9\x3a\x10");
    let old_onnx = file(b"\x08\x03\x3a\x90\x02\x0a\x1c");
    let swapped = |file: Vec<u8>| -> Vec<u8> {
        file.as_chunks::<4>().0.iter().flat_map(|word| word.iter().rev().copied()).collect()
    };
    for (name, bytes, number, text, hint) in [
        ("v5", words(&[ldmk, 5, 32, 0, 8, 2, 0, 0]), Code::Version, "kmodel v5", "kmodel compile"),
        ("v6", words(&[ldmk, 6, 32, 0, 8, 2, 0, 0]), Code::Version, "kmodel v6", "kmodel compile"),
        ("v7", words(&[ldmk, 7, 32]), Code::Version, "version 7 is not known", "kmodel compile"),
        (
            "swapped v3",
            swapped(kmodel_samples::v3::image()),
            Code::Version,
            "swapped",
            "load_flash",
        ),
        (
            "swapped v4",
            swapped(kmodel_samples::v4::image()),
            Code::Version,
            "swapped",
            "load_flash",
        ),
        ("smodel", words(&[0x2713, 1, 2, 3]), Code::Decrypt, "encrypted", "plain .kmodel"),
        (
            "scrambled",
            file(b"\xF2\x3C\x8D\x23\xA1\x9C\x44\x81\x10\xEE\x42\x99\x01\x02\x03\x77"),
            Code::Decrypt,
            "scrambled",
            "plain .kmodel",
        ),
        ("zip", file(b"PK\x03\x04\x14\0\0\0\x08\0\0\0"), Code::Version, "zip", "kmodel unpack"),
        ("erased", vec![0xFF; 4096], Code::Version, "erased flash", "flash the .kmodel"),
        ("zeros", vec![0; 4096], Code::Version, "only zero bytes", "flash address"),
        (
            "tflite",
            file(b"\x1c\0\0\0TFL3\x14\0\x20\0"),
            Code::Version,
            "TensorFlow Lite",
            "-i tflite",
        ),
        ("onnx", onnx, Code::Version, "ONNX", "-i onnx"),
        ("old onnx", old_onnx, Code::Version, "ONNX", "-i onnx"),
        ("legacy 1", words(&[1, 0, 0, 3]), Code::Version, "legacy version 1", "kmodel compile"),
        (
            "legacy 0x12345678",
            words(&[0x1234_5678, 0, 0, 3]),
            Code::Version,
            "legacy version 305419896",
            "kmodel compile",
        ),
        (
            "web page",
            file(b"<!DOCTYPE html>"),
            Code::Version,
            "not a kmodel",
            "3 or the letters LDMK",
        ),
        ("nothing", vec![], Code::Version, "no bytes", "copied whole"),
        ("two bytes", vec![3, 0], Code::Format, "6 bytes before the end", "was cut"),
    ] {
        let error = error(&bytes);
        assert_eq!(error.code(), number, "{name}");
        assert!(error.to_string().contains(text), "{name}: {error}");
        assert!(error.hint().contains(hint), "{name}: {}", error.hint());
    }
}

/// Flash is read up to its end, far behind what was written.
#[test]
fn erased_flash_behind_a_few_bytes_is_no_model() {
    let mut flash = vec![0xFF; 1 << 16];
    flash[0x8000..0x8004].copy_from_slice(&3u32.to_le_bytes());
    let error = error(&flash[0x8000..]);
    assert_eq!(error.code(), Code::Format, "{error}");
}

#[test]
fn errors_inside_a_model_say_where() {
    let good = kmodel_samples::v4::floats_file();
    let model = Model::open(&&good[..]).unwrap();
    let nodes: Vec<_> = model.nodes(&&good[..]).map(Result::unwrap).collect();
    let third = &nodes[2];

    // The memory of the third node's first range.
    let mut bad = good.clone();
    bad[third.offset] = 9;
    let error = error(&bad);
    assert_eq!(
        (error.code(), error.node(), error.offset()),
        (Code::Format, Some(2), Some(third.offset as u64))
    );
    assert_eq!(
        error.to_string(),
        format!("node 2: memory is 9, which is not possible here (at byte {})", third.offset)
    );
    assert!(error.hint().contains("compile the model again"));

    // Its end leaves main memory.
    let mut bad = good.clone();
    bad[third.offset + 8..][..4].copy_from_slice(&0x7FFF_FF00u32.to_le_bytes());
    let error = Model::open(&&bad[..]).unwrap_err();
    assert_eq!((error.kind(), error.node()), (Kind::OutOfMemoryRange, Some(2)));
}

#[test]
fn a_model_for_the_cpu_alone_loads() {
    let mut file = kmodel_samples::v4::floats_file();
    assert_eq!(file[12], 1, "made for the K210");
    file[12] = 0;
    Model::open(&&file[..]).unwrap();
    file[12] = 2;
    let error = error(&file);
    assert_eq!((error.kind(), error.offset()), (Kind::Target, Some(12)));
}
