//! Scratch: runs a kmodel on raw files.
use kmodel_compiler::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let k = std::fs::read(&a[1]).unwrap();
    for f in &a[2..] {
        let b = std::fs::read(f).unwrap();
        match measure::run(&k, &[maix_kpu::input::Input::Raw(&b)], &mut ()) {
            Ok(o) => for (i, o) in o.iter().enumerate() {
                let b: Vec<u8> = o.iter().flat_map(|v| v.to_le_bytes()).collect();
                std::fs::write(format!("{f}.out{i}"), b).unwrap();
            },
            Err(e) => { println!("{e}"); std::process::exit(1) }
        }
    }
}
