//! What is read from a body and written again is the same bytes: for every body of both versions.
//!
//! The bodies are those of our samples, which use every operator, with any of their words replaced.

use maix_kpu::{
    kpu::Layer,
    model::{
        Model,
        node::NodeHeader,
        reader::{Field, Reader},
        v3::{self, layer as l},
        v4::{self, operator as o, range as r},
    },
};
use proptest::{prelude::*, sample::Index, test_runner::TestRunner};
use std::collections::{BTreeMap, BTreeSet};

/// Reads a value from the begin of some bytes and writes it again; `None` where reading fails.
type Rewrite = fn(&[u8]) -> Option<Vec<u8>>;

fn rewrite<F: Field>(bytes: &[u8]) -> Option<Vec<u8>> {
    let value: F = Reader::new(&bytes, 0, bytes.len()).checked().ok()?;
    let mut written = Vec::new();
    value.write(&mut |piece| written.extend(piece));
    Some(written)
}

/// The body of each layer type, behind its flags.
const V3: &[(u32, Rewrite)] = &[
    (1, rewrite::<l::Add>),
    (2, rewrite::<l::QuantizedAdd>),
    (5, rewrite::<l::GlobalAveragePool>),
    (8, rewrite::<l::Pool>),
    (9, rewrite::<l::Pool>),
    (11, rewrite::<l::Quantization>),
    (12, rewrite::<l::Quantization>),
    (13, rewrite::<l::Requantize>),
    (14, rewrite::<l::Vector>),
    (15, rewrite::<l::Vector>),
    (16, rewrite::<l::Concat>),
    (17, rewrite::<l::Concat>),
    (18, rewrite::<l::FullyConnected>),
    (20, rewrite::<l::Flatten>),
    (22, rewrite::<l::ResizeNearest>),
    (23, rewrite::<l::ResizeNearest>),
    (24, rewrite::<l::ChannelwiseDequantize>),
    (25, rewrite::<l::Vector>),
    (10240, rewrite::<l::ConvHead>),
    (10241, rewrite::<l::AddPadding>),
    (10242, rewrite::<l::RemovePadding>),
    (10243, rewrite::<l::Upload>),
];

/// The body of each opcode.
const V4: &[(u32, Rewrite)] = &[
    (0x00, rewrite::<o::Binary>),
    (0x01, rewrite::<o::Concat>),
    (0x02, rewrite::<o::Conv2d>),
    (0x03, rewrite::<o::Dequantize>),
    (0x04, rewrite::<o::MatMul>),
    (0x05, rewrite::<o::PadTensor>),
    (0x06, rewrite::<o::Quantize>),
    (0x07, rewrite::<o::Reduce>),
    (0x08, rewrite::<o::ReduceWindow>),
    (0x09, rewrite::<o::MemoryCopy>),
    (0x0A, rewrite::<o::ResizeImage>),
    (0x0B, rewrite::<o::Softmax>),
    (0x0C, rewrite::<o::Transpose>),
    (0x0D, rewrite::<o::StridedSlice>),
    (0x0E, rewrite::<o::Unary>),
    (0x0F, rewrite::<o::QuantizedConv2d>),
    (0x10, rewrite::<o::QuantizedMatMul>),
    (0x11, rewrite::<o::QuantizedBinary>),
    (0x12, rewrite::<o::TableLookup>),
    (0x13, rewrite::<o::Conv2dTranspose>),
    (0x14, rewrite::<o::Nnil>),
    (0x1001, rewrite::<o::CpuConv2d>),
    (0x1002, rewrite::<o::CpuDepthwise>),
    (0x1003, rewrite::<o::ReduceWindow>),
    (0x1004, rewrite::<o::CpuQuantizedConv2d>),
    (0x1005, rewrite::<o::CpuQuantizedDepthwise>),
    (0x2001, rewrite::<o::KpuUpload>),
    (0x2002, rewrite::<o::KpuConvHead>),
];

/// One body of every operator in the samples, by version and number.
fn bodies() -> BTreeMap<(u32, u32), Vec<u8>> {
    let mut bodies = BTreeMap::new();
    for (_, file) in kmodel_samples::all() {
        let source = &&file[..];
        let model = Model::open(source).unwrap();
        for node in model.nodes(source) {
            let node = node.unwrap();
            let flags = if model.version() == 3 { 4 } else { 0 };
            let body = &file[node.offset + flags..(node.offset + node.size).min(file.len())];
            bodies.insert((model.version(), node.opcode), body.to_vec());
        }
    }
    bodies
}

fn rewriter(version: u32, number: u32) -> Rewrite {
    let table = if version == 3 { V3 } else { V4 };
    table.iter().find(|(n, _)| *n == number).expect("every operator has a row").1
}

#[test]
fn samples_have_every_body() {
    let rows = |version, table: &[(u32, Rewrite)]| -> BTreeSet<_> {
        table.iter().map(|&(number, _)| (version, number)).collect()
    };
    let all: BTreeSet<_> = rows(3, V3).union(&rows(4, V4)).copied().collect();
    assert_eq!(bodies().into_keys().collect::<BTreeSet<_>>(), all);
}

#[test]
fn what_is_written_is_what_was_read() {
    let bodies: Vec<_> = bodies().into_iter().collect();
    let mut readable = 0;
    for ((version, number), body) in &bodies {
        let rewrite = rewriter(*version, *number);
        let written = rewrite(body).unwrap_or_else(|| panic!("v{version} {number:#x} is read"));
        assert_eq!(written, body[..written.len()], "v{version} {number:#x}");
        let counter = std::cell::Cell::new(0);
        let words = proptest::collection::vec((any::<Index>(), word()), 1..6);
        TestRunner::new(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(64)
        })
        .run(&words, |words| {
            let mut body = body[..written.len()].to_vec();
            for (index, word) in words {
                let places = body.as_chunks_mut::<4>().0;
                *index.get_mut(places) = word.to_le_bytes();
            }
            if let Some(written) = rewrite(&body) {
                counter.set(counter.get() + 1);
                prop_assert_eq!(written, body);
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("v{version} {number:#x}: {e}"));
        assert!(counter.get() > 0, "v{version} {number:#x}: nothing could be read");
        readable += counter.get();
    }
    assert!(readable > 1000, "{readable} readable bodies");
}

/// Any number; often one that counts and choices may be.
fn word() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..3, 1u32..100, any::<u32>()]
}

fn keeps<F: Field>(bytes: &[u8]) {
    if let Some(written) = rewrite::<F>(bytes) {
        assert_eq!(written, bytes[..written.len()], "{}", std::any::type_name::<F>());
    }
}

proptest! {
    #[test]
    fn compounds_are_written_as_they_were_read(words in proptest::collection::vec(word(), 16)) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        // What any bytes can be: reading must not fail.
        for rewrite in [
            rewrite::<v3::Header>,
            rewrite::<v3::OutputRange>,
            rewrite::<l::MainRange>,
            rewrite::<l::QuantParam>,
            rewrite::<l::OperandScale>,
            rewrite::<l::ImageSize>,
            rewrite::<v4::Header>,
            rewrite::<NodeHeader>,
            rewrite::<r::Pad>,
            rewrite::<r::Clamp>,
            rewrite::<r::QuantParam>,
            rewrite::<r::Window>,
            rewrite::<o::Requantize>,
            rewrite::<o::OperandScale>,
            rewrite::<o::Pads>,
        ] {
            let written = rewrite(&bytes).expect("any bytes");
            prop_assert_eq!(&written, &bytes[..written.len()]);
        }
        keeps::<r::Range>(&bytes);
        keeps::<r::Shape4>(&bytes);
        keeps::<l::ActivationCode>(&bytes);
        keeps::<o::ResizeModeCode>(&bytes);
    }

    #[test]
    fn layer_words_are_written_as_they_were_read(
        word in 0usize..12, bit in 0u32..64, sample in any::<Index>(),
    ) {
        let layers: Vec<_> = kmodel_samples::all().iter().flat_map(|(_, file)| layers(file)).collect();
        let mut words = sample.get(&layers).encode();
        words[word] ^= 1 << bit;
        if let Ok(layer) = Layer::decode(&words) {
            prop_assert_eq!(layer.encode(), words);
        }
    }
}

fn layers(file: &[u8]) -> Vec<Layer> {
    let source = &file;
    let model = Model::open(source).unwrap();
    let convs = model.nodes(source).filter_map(|node| node.unwrap().kpu_conv());
    convs.map(|conv| conv.layer).collect()
}
