//! The dialogues recorded on the original firmwares print the same lines on the chip as on the
//! desktop, which `tools/maixpy` compares with the recorded ones.

use std::env;

use transcripts::{Index, Topic};

use crate::board::{Programs, Setup};

/// What runs each time; all with `TOPIC=` (or `TOPIC=part of a name`), where those that ask for the free
/// memory, or for errors of the PC's own file system, answer otherwise.
const SAMPLE: [&str; 8] = [
    "maixpy/load_print",
    "maixpy/forward_image_v3",
    "maixpy/forward_list_v4",
    "maixpy/set_layers",
    "maixpy/yolo2_face",
    "maixpy/classifier_basic",
    "maixpy/fmap_u8",
    "canmv/yolo2_20class",
];

fn setup(index: &Index, topic: &Topic) -> Setup {
    let content = |content| index.content(content).expect("bytes");
    Setup {
        flash: topic.flash().map(|(address, bytes)| (address, content(bytes))).collect(),
        files: topic.files.iter().map(|(name, bytes)| (name.clone(), content(bytes))).collect(),
        ..Default::default()
    }
}

/// A line with `0x...` in place of addresses: what follows `=` or ` at `.
fn comparable(line: &str) -> String {
    let mut parts = line.split("0x");
    let mut text = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let is_address = text.ends_with('=') || text.ends_with(" at ");
        text += "0x";
        text += match is_address {
            true => part.trim_start_matches(|c: char| c.is_ascii_hexdigit()),
            false => part,
        };
    }
    text
}

#[test]
fn dialogues_are_as_on_the_desktop() {
    let (Some(programs), Some(index)) = (Programs::find(), Index::read()) else { return };
    let all = env::var_os("TOPIC").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for firmware in ["maixpy", "canmv", "maixpy_v3only"] {
        for topic in index.of(firmware).filter(|topic| all || SAMPLE.contains(&&*topic.name)) {
            count += 1;
            let (setup, script) = (setup(&index, topic), index.script(topic));
            let desktop_firmware = firmware.trim_end_matches("_v3only");
            let chip = programs.on_chip(&setup, &script);
            let desktop = programs.on_desktop(desktop_firmware, &setup, &script);
            let mut text = String::new();
            let (mut chip, mut desktop) = (chip.lines(), desktop.lines());
            loop {
                let (on_chip, on_desktop) = (chip.next(), desktop.next());
                if (on_chip, on_desktop) == (None, None) {
                    break;
                }
                if on_chip.map(comparable) != on_desktop.map(comparable) {
                    text += &format!("  chip    {on_chip:?}\n  desktop {on_desktop:?}\n");
                }
            }
            if !text.is_empty() {
                println!("{} ({}):\n{text}", topic.name, topic.about);
                wrong.push(&topic.name);
            }
        }
    }
    println!("{} of {count} dialogues are as on the desktop", count - wrong.len());
    assert!(wrong.is_empty(), "not as on the desktop: {wrong:?}");
    assert!(count >= SAMPLE.len() || all, "not all of the sample is there");
}
