//! Any bytes: what is said of them, as an error or as a description, is printable and bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maix_kpu::{error::Error, model::Model};
use std::fmt::Write;

/// Checks what a user would read.
fn check(text: &str) {
    assert!(!text.is_empty() && text.len() < 400, "{text:?}");
    assert!(!text.contains(char::is_control) && !text.contains(['{', '}']), "{text:?}");
}

fn check_error(error: &Error) {
    check(&error.to_string());
    check(error.hint());
    assert!((2001..=2015).contains(&(error.code() as u16)));
}

fuzz_target!(|data: &[u8]| {
    let source = &data;
    let model = match Model::open(source) {
        Ok(model) => model,
        Err(error) => return check_error(&error),
    };
    let mut text = String::new();
    for node in model.nodes(source) {
        let node = node.expect("checked");
        let output = model.node_output(source, &node).expect("checked");
        text.clear();
        write!(text, "{} {} {:?}", node.index, node.name(), output.shape).unwrap();
        check(&text);
    }
    check_error(&model.input(source, u32::MAX).expect_err("no such input"));
    check_error(&model.output(source, u32::MAX).expect_err("no such output"));
});
