//! What a session lets its user choose: how far to run, shapes, metadata, and what it refuses.

use kmodel_samples::v4::floats_model;
use maix_kpu::{
    error::{Code, Error, Kind, Result},
    input::{Conversion, Image, Input, PixelFormat},
    kpu::{Accelerator, Job, Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::{
        Model, Node,
        metadata::Content,
        v4::range::{Memory, Range, Shape4},
    },
    session::{
        Requirements, Session,
        trace::{Trace, Written},
    },
    tensor::Dtype,
};

/// A session of the file and a simulator for it.
fn with<T>(file: &[u8], test: impl FnOnce(&mut Session<'_>, &mut Simulator<'_>) -> T) -> T {
    let source = &file;
    let model = Model::open(source).unwrap();
    let mut memory = vec![0; Requirements::of(&model, source).unwrap().bytes()];
    let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
    let mut simulator = Simulator::new(&mut ram, &mut scratch).unwrap();
    test(&mut Session::new(model, source, &mut memory).unwrap(), &mut simulator)
}

/// What each node wrote.
#[derive(Default)]
struct Outputs(Vec<Vec<u8>>);

impl Trace for Outputs {
    fn end(&mut self, _: &Node, mut result: Written<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        result.pieces(&mut |piece| bytes.extend(piece))?;
        self.0.push(bytes);
        Ok(())
    }
}

fn counting(session: &Session<'_>) -> Vec<u8> {
    (0..session.input(0).unwrap().elements()).map(|i| (i * 3) as u8).collect()
}

fn output(session: &Session<'_>, kpu: &mut dyn Accelerator, index: u32) -> Vec<u8> {
    let mut bytes = vec![0; session.output(index).unwrap().bytes()];
    session.read_output(kpu, index, &mut bytes).unwrap();
    bytes
}

#[test]
fn any_number_of_layers_gives_what_the_last_of_them_wrote() {
    for (name, file) in kmodel_samples::all() {
        with(&file, |session, kpu| {
            let bytes = counting(session);
            let input = [Input::Bytes(&bytes)];
            let mut outputs = Outputs::default();
            session.forward_traced(kpu, &input, &mut outputs).unwrap();
            let all = session.model().node_count();
            let own: Vec<_> =
                (0..session.output_count()).map(|i| output(session, kpu, i)).collect();

            for layers in 1..all {
                session.set_layers(layers).unwrap();
                session.forward_traced(kpu, &input, &mut ()).unwrap();
                assert_eq!(session.output_count(), 1, "{name} {layers}");
                let written = &outputs.0[layers as usize - 1];
                assert_eq!(&output(session, kpu, 0), written, "{name} {layers}");
                assert_eq!(session.output(1).unwrap_err().code(), Code::Index);
            }
            for every in [0, all] {
                session.set_layers(every).unwrap();
                session.forward_traced(kpu, &input, &mut ()).unwrap();
                for (index, own) in own.iter().enumerate() {
                    assert_eq!(&output(session, kpu, index as u32), own, "{name} {index}");
                }
            }
            let error = session.set_layers(all + 1).unwrap_err();
            assert_eq!(
                (error.code(), error.values()),
                (Code::Index, [(all + 1).into(), all.into()])
            );
        });
    }
}

/// A KPU that must be waited for, and that never ends one of its layers.
struct Slow<'s> {
    kpu: Simulator<'s>,
    computes: bool,
    finished: usize,
    stuck: Option<usize>,
}

impl<'s> Slow<'s> {
    fn idle(&mut self) -> &mut Simulator<'s> {
        assert!(!self.computes);
        &mut self.kpu
    }
}

impl Accelerator for Slow<'_> {
    fn ram(&mut self) -> &mut [u8] {
        self.idle().ram()
    }

    fn run(&mut self, jobs: &[Job<'_>]) -> Result<()> {
        self.start(jobs)?;
        self.finish()
    }

    fn start(&mut self, jobs: &[Job<'_>]) -> Result<()> {
        self.finish()?;
        self.computes = true;
        self.kpu.run(jobs)
    }

    fn finish(&mut self) -> Result<()> {
        if std::mem::take(&mut self.computes) {
            if self.stuck == Some(self.finished) {
                return Err(Error::new(Kind::Accelerator));
            }
            self.finished += 1;
        }
        Ok(())
    }
}

#[test]
fn nodes_wait_for_the_kpu_and_a_layer_without_end_is_named() {
    let mut layers = 0;
    for (name, file) in kmodel_samples::all() {
        with(&file, |session, kpu| {
            let bytes = counting(session);
            let input = Input::Bytes(&bytes);
            session.forward(kpu, &input).unwrap();
            let outputs = |session: &Session<'_>, kpu: &mut dyn Accelerator| {
                (0..session.output_count()).map(|i| output(session, kpu, i)).collect::<Vec<_>>()
            };
            let expected = outputs(session, kpu);
            let nodes: Vec<_> =
                session.model().nodes(session.source()).map(Result::unwrap).collect();
            let on_kpu: Vec<_> = nodes
                .iter()
                .filter_map(|node| Some((node.index, node.kpu_conv()?.batches)))
                .flat_map(|(index, batches)| vec![index; batches])
                .collect();

            let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
            for stuck in (0..on_kpu.len()).map(Some).chain([None]) {
                let kpu = Simulator::new(&mut ram, &mut scratch).unwrap();
                let mut kpu = Slow { kpu, computes: false, finished: 0, stuck };
                match (session.forward(&mut kpu, &input), stuck) {
                    (Err(error), Some(stuck)) => {
                        let found = (error.kind(), error.node());
                        assert_eq!(found, (Kind::Accelerator, Some(on_kpu[stuck])), "{name}");
                    }
                    (Ok(()), None) => assert_eq!(outputs(session, &mut kpu), expected, "{name}"),
                    (result, stuck) => panic!("{name}: {result:?} {stuck:?}"),
                }
                assert_eq!(kpu.finished, stuck.unwrap_or(on_kpu.len()), "{name}");
            }
            layers += on_kpu.len();
        });
    }
    assert!(layers > 4, "{layers}");
}

#[test]
fn every_output_of_both_versions_can_be_read() {
    for (name, file, outputs) in [
        ("v3", kmodel_samples::v3::image(), 7),
        ("v3 vector", kmodel_samples::v3::vector(), 4),
        ("v4", kmodel_samples::v4::floats_file(), floats_model().2.len()),
    ] {
        with(&file, |session, kpu| {
            let bytes = counting(session);
            session.forward(kpu, &Input::Bytes(&bytes)).unwrap();
            assert_eq!(session.output_count() as usize, outputs, "{name}");
            let mut different = std::collections::BTreeSet::new();
            for index in 0..session.output_count() {
                let tensor = session.output(index).unwrap();
                let bytes = output(session, kpu, index);
                assert_eq!(session.output_bytes(index).unwrap(), bytes, "{name} {index}");
                match (tensor.dtype, session.output_floats(index)) {
                    (Dtype::F32, Ok(floats)) => assert_eq!(floats.len(), tensor.elements()),
                    (Dtype::U8, Err(error)) => assert_eq!(error.kind(), Kind::WrongDtype),
                    other => panic!("{name} {index}: {other:?}"),
                }
                different.insert(bytes);
            }
            assert!(different.len() > outputs / 2, "{name}: the outputs are not the same");
            let error = session.output(outputs as u32).unwrap_err();
            assert_eq!(error.code(), Code::Index);
            let n = outputs as u64;
            assert_eq!(
                error.to_string(),
                format!("the model has {n} outputs, output {n} was asked for")
            );
        });
    }
}

#[test]
fn outputs_take_another_shape_of_the_same_size() {
    with(&kmodel_samples::v4::floats_file(), |session, kpu| {
        assert_eq!(session.output(0).unwrap().shape, [1, 4, 4, 4]);
        session.set_outputs(0, [1, 1, 8, 8]).unwrap();
        session.set_outputs(0, [1, 16, 2, 2]).unwrap();
        assert_eq!(session.output(0).unwrap().shape, [1, 16, 2, 2]);
        assert_eq!(session.output(1).unwrap().shape, [1, 4, 4, 4]);
        let bytes = counting(session);
        session.forward(kpu, &Input::Bytes(&bytes)).unwrap();
        assert_eq!(session.output_floats(0).unwrap().len(), 64);

        let error = session.set_outputs(0, [1, 4, 4, 5]).unwrap_err();
        assert_eq!(error.code(), Code::Size);
        assert_eq!(error.to_string(), "w * h * ch is 80, the output has 64 elements");
        assert_eq!(session.set_outputs(1, [usize::MAX; 4]).unwrap_err().code(), Code::Size);
        assert_eq!(session.set_outputs(1000, [1, 4, 4, 4]).unwrap_err().code(), Code::Index);
        assert_eq!(session.output(0).unwrap().shape, [1, 16, 2, 2], "errors change nothing");
    });
}

#[test]
fn vanished_reshapes_leave_flat_shapes() {
    // Behind a matrix product no node tells a shape: (C, H, W) = (n, 1, 1).
    with(&kmodel_samples::v4::floats_file(), |session, _| {
        let products = (0..session.output_count()).map(|i| session.output(i).unwrap());
        assert_eq!(products.filter(|output| output.shape == [1, 20, 1, 1]).count(), 1);
    });
    with(&kmodel_samples::v3::vector(), |session, _| {
        assert_eq!(session.output(0).unwrap().shape, [1, 6, 1, 1]);
    });
}

#[test]
fn metadata_say_what_pixels_mean() {
    let content = Content {
        labels: "cat\ndog\n\u{5b57}",
        anchors: &[1.25, 2.5],
        input_range: Some((-1.0, 1.0)),
        note: "trained on photographs",
    };
    let plain = kmodel_samples::v4::floats_file();
    let mut annotated = plain.clone();
    content.write(&mut |bytes| annotated.extend(bytes));
    annotated.extend(b"bytes of somebody else");

    let pixels: Vec<u8> = (0..64).map(|i| i * 4).collect();
    let format = PixelFormat::Planar { channels: 4 };
    let image = Input::Image(Image { format, width: 4, height: 4, pixels: &pixels });
    let run = |file: &[u8], conversion: Option<Conversion>| {
        with(file, |session, kpu| {
            if let Some(conversion) = conversion {
                session.set_conversion(conversion);
            }
            session.forward(kpu, &image).unwrap();
            (0..session.output_count()).map(|i| output(session, kpu, i)).collect::<Vec<_>>()
        })
    };
    let ranged = run(&annotated, None);
    assert_eq!(ranged, run(&plain, Some(Conversion::range(-1.0, 1.0))));
    assert_ne!(ranged, run(&plain, None));
    // The caller's word counts more.
    assert_eq!(run(&annotated, Some(Conversion::default())), run(&plain, None));

    with(&annotated, |session, _| {
        let metadata = *session.metadata();
        assert_eq!(metadata.labels.of(&annotated).unwrap(), content.labels.as_bytes());
        assert_eq!(metadata.note.of(&annotated).unwrap(), content.note.as_bytes());
        assert_eq!(metadata.anchors.of(&annotated).unwrap(), [0, 0, 0xA0, 0x3F, 0, 0, 0x20, 0x40]);
        assert_eq!(metadata.input_range, Some((-1.0, 1.0)));
    });
}

#[test]
fn what_does_not_fit_is_refused_with_both_numbers() {
    let file = kmodel_samples::v4::bytes();
    let source = &&file[..];
    let model = Model::open(source).unwrap();
    let wanted = Requirements::of(&model, source).unwrap().bytes();
    let mut memory = vec![0; wanted - 1];
    let error = Session::new(model, source, &mut memory).err().unwrap();
    assert_eq!(error.code(), Code::NoMemory);
    assert_eq!(error.values(), [wanted as u64, wanted as u64 - 1]);

    with(&file, |session, kpu| {
        let bytes = counting(session);
        for (inputs, given) in [(vec![], 0), (vec![Input::Bytes(&bytes); 2], 2)] {
            let error = session.forward_traced(kpu, &inputs, &mut ()).unwrap_err();
            assert_eq!((error.kind(), error.values()), (Kind::InputCount, [given, 1]));
        }
        let error = session.forward(kpu, &Input::Bytes(&bytes[1..])).unwrap_err();
        assert_eq!(error.to_string(), "the model wants 64 values, 63 were given");
        let mut short = [0; 3];
        let error = session.read_output(kpu, 0, &mut short).unwrap_err();
        assert_eq!((error.kind(), error.values()), (Kind::BufferSize, [3, 96]));
    });
}

#[test]
fn empty_outputs_are_read_as_nothing() {
    for memory in [Memory::Main, Memory::Kpu, Memory::Constants] {
        let (builder, input, mut outputs) = floats_model();
        outputs.push(Range::new(memory, Dtype::U8, 0, 0));
        let file = builder.finish((input, Shape4([1, 4, 4, 4])), &outputs);
        with(&file, |session, kpu| {
            assert_eq!(output(session, kpu, session.output_count() - 1), [], "{memory:?}");
        });
    }
}
