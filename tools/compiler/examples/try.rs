//! Scratch: compiles a model and writes the kmodel and a report.
use kmodel_compiler::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let mut o = Options::default();
    let mut i = 3;
    while i < a.len() {
        match a[i].as_str() {
            "--float" => o.inference_type = options::ElementType::Float,
            "--dataset" => { i += 1; o.dataset = Some(a[i].clone().into()); }
            "--raw" => o.dataset_format = options::DatasetFormat::Raw,
            "--mean" => { i += 1; o.input_mean = a[i].parse().unwrap(); }
            "--std" => { i += 1; o.input_std = a[i].parse().unwrap(); }
            "--l2" => o.calibrate_method = options::CalibrateMethod::L2,
            x => panic!("{x}"),
        }
        i += 1;
    }
    let t = std::time::Instant::now();
    match compile(&std::fs::read(&a[1]).unwrap(), &o, &mut |_, _, _| {}) {
        Ok(c) => { std::fs::write(&a[2], &c.kmodel).unwrap(); println!("{}", c.report); eprintln!("{:?}", t.elapsed()); }
        Err(p) => { for p in p { println!("error: {p}"); } std::process::exit(1); }
    }
}
