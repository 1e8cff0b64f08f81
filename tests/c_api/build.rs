//! Compiles the C program.

fn main() {
    let include = "../../mpy_bindings/include";
    println!("cargo::rerun-if-changed=exercise.c");
    println!("cargo::rerun-if-changed={include}");
    cc::Build::new()
        .file("exercise.c")
        .include(include)
        .flag("-fsanitize=address")
        .flag("-std=c11")
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .compile("exercise");
    // The runtime is linked into the test, for a shared one would have to come first of all libraries.
    let found = std::process::Command::new("cc").arg("-print-file-name=libasan.a").output();
    let runtime = String::from_utf8(found.expect("cc runs").stdout).expect("a path");
    let arguments =
        format!("-Wl,--whole-archive,{},--no-whole-archive,-lstdc++,-lm", runtime.trim());
    println!("cargo::rustc-link-arg-tests={arguments}");
}
