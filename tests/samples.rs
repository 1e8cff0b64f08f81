//! Our own small models, which use every operator: they load, run, and survive damage.

use kmodel_samples::Streamed;
use maix_kpu::{
    error::{Error, Result},
    input::Input,
    kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::{Model, Node, Source},
    session::{
        Requirements, Session,
        trace::{Trace, Written},
    },
};

/// The CRC of what each node wrote.
#[derive(Default)]
struct Crcs(Vec<(&'static str, u32)>);

impl Trace for Crcs {
    fn end(&mut self, node: &Node, mut result: Written<'_>) -> Result<()> {
        self.0.push((node.name(), result.crc()?));
        Ok(())
    }
}

/// Runs a model on bytes that count up; gives the CRC of what each node wrote.
fn run(
    source: &dyn Source,
    reference: bool,
) -> std::result::Result<Vec<(&'static str, u32)>, Error> {
    let model = Model::open(source)?;
    let mut memory = vec![0; Requirements::of(&model, source)?.bytes()];
    let mut session = Session::new(model, source, &mut memory)?;
    let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
    let mut simulator = Simulator::new(&mut ram, &mut scratch)?;
    if reference {
        simulator = simulator.reference();
    }
    let bytes: Vec<u8> = (0..session.input(0)?.elements()).map(|i| (i * 3) as u8).collect();
    let mut crcs = Crcs::default();
    session.forward_traced(&mut simulator, &[Input::Bytes(&bytes)], &mut crcs)?;
    for index in 0..session.output_count() {
        session.output_bytes(index)?;
    }
    Ok(crcs.0)
}

#[test]
fn every_operator_runs() {
    let mut names = std::collections::BTreeSet::new();
    for (name, file) in kmodel_samples::all() {
        let crcs = run(&&file[..], false).unwrap_or_else(|e| panic!("{name}: {e}"));
        names.extend(crcs.iter().map(|(name, _)| *name));
    }
    // 22 of v3, 28 of v4; six names serve both.
    assert_eq!(names.len(), 44, "{names:?}");
}

#[test]
fn every_way_to_read_and_compute_gives_the_same_bits() {
    for (name, file) in kmodel_samples::all() {
        let expected = run(&&file[..], false).expect(name);
        assert_eq!(run(&&file[..], true).expect(name), expected, "{name}: the plain simulator");
        assert_eq!(run(&Streamed(&file), false).expect(name), expected, "{name}: from a file");
        for shift in 1..9 {
            let mut shifted = vec![0; shift];
            shifted.extend(&file);
            let got = run(&&shifted[shift..], false).expect(name);
            assert_eq!(got, expected, "{name}: at an address shifted by {shift}");
        }
        let mut longer = file.clone();
        longer.extend(b"trailing bytes");
        assert_eq!(run(&&longer[..], false).expect(name), expected, "{name}: trailing bytes");
    }
}

#[test]
fn cut_files_are_errors() {
    for (name, file) in kmodel_samples::all() {
        // Up to 7 bytes may be missing: the padding of the last body.
        for len in (0..file.len() - 8).step_by(3) {
            assert!(run(&&file[..len], false).is_err(), "{name} cut at {len}");
        }
    }
}

#[test]
fn damaged_files_are_errors_or_run() {
    for (name, file) in kmodel_samples::all() {
        let mut errors = 0;
        for at in 0..file.len() {
            for value in [0, 0x7F, 0xFF] {
                let mut damaged = file.clone();
                damaged[at] = value;
                // Main memory beyond reason is the caller's to refuse.
                let fits = Model::open(&&damaged[..]).is_ok_and(|m| m.main_memory() < 1 << 20);
                errors += usize::from(!fits || (at % 16 == 0 && run(&&damaged[..], true).is_err()));
            }
        }
        assert!(errors > 0, "{name}");
    }
}
