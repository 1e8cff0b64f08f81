//! docs/errors.md is what the table of errors says. `UPDATE_DOCS=1` writes it anew.

use maix_kpu::error::Kind;

fn errors() -> String {
    let mut text = String::from(
        "# Errors\n\nGenerated from the table in `src/error/kinds.rs` by `UPDATE_DOCS=1 cargo test --test docs`.\n\
         `{what}`, `{0}` and `{1}` stand for the part and the numbers of the case at hand. The number is\n\
         MaixPy's.\n\n| error | number | text | what to do |\n|---|---|---|---|\n",
    );
    for kind in Kind::ALL {
        let number = (kind.code() as u16).to_string();
        let row = [kind.name(), &number, kind.text(), kind.hint()].join(" | ");
        text += &format!("| {row} |\n");
    }
    text
}

#[test]
fn errors_are_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, errors()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), errors(), "run with UPDATE_DOCS=1");
}
