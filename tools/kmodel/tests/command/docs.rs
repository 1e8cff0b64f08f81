//! docs/kmodel.md holds what `--help` prints. `UPDATE_DOCS=1` writes it anew.

use crate::common::*;

const BEGIN: &str = "```text\n$ kmodel ";

/// The page with every block `$ kmodel ... --help` filled anew, and the commands that have one.
fn filled(page: &str) -> (String, Vec<String>) {
    let mut parts = page.split(BEGIN);
    let mut text = parts.next().unwrap().to_string();
    let mut commands = Vec::new();
    for part in parts {
        let (block, rest) = part.split_once("```").unwrap();
        let call = block.lines().next().unwrap();
        let help = printed(&call.split(' ').collect::<Vec<_>>());
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        text += &format!("{BEGIN}{call}\n{}\n```{rest}", help.join("\n"));
        commands.extend(call.strip_suffix(" --help").map(str::to_string));
    }
    (text, commands)
}

#[test]
fn every_command_is_documented_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kmodel.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (filled, commands) = filled(&page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &filled).unwrap();
    }
    let help = printed(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let listed: Vec<&str> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(listed.len() > 8, "{listed:?}");
    for command in listed.iter().filter(|&&command| command != "help") {
        assert!(commands.iter().any(|known| known == command), "{command} has no section");
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), filled, "run with UPDATE_DOCS=1");
}
