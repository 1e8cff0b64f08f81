//! Whether what was printed is what was recorded, or is explained.

use crate::{Comparison, Differences, End, Line, Step, Topic, align};

/// Whether a line is an exception's.
fn is_exception(line: &str) -> bool {
    line.contains(" !! ") || line.starts_with("Traceback")
}

/// The lines that are not as recorded and that none of the tables explains.
pub fn judge(
    topic: &Topic,
    recorded: &[String],
    printed: &[String],
    known: &[&Differences],
) -> Vec<String> {
    let mut expected = recorded;
    if topic.ends != End::Normal {
        // What the recording machine says of the end stands behind an empty line.
        let end = recorded.iter().position(|line| line.starts_with("[emulator: ")).expect("an end");
        expected = &recorded[..end - 1];
    }
    let is_same = |r: usize, p: usize| {
        let comparison = match topic.incidental_lines.contains(&(r + 1)) {
            true => Comparison::Incidental,
            false => Comparison::Rounded,
        };
        Line::new(&expected[r]).matches(&Line::new(&printed[p]), comparison)
    };
    let lines = |step: Step| match step {
        Step::Both { recorded: r, printed: p } => (Some(&*expected[r]), Some(&*printed[p])),
        Step::Missing { recorded: r } => (Some(&*expected[r]), None),
        Step::Extra { printed: p } => (None, Some(&*printed[p])),
    };
    let explain = |step| {
        let (recorded, printed) = lines(step);
        known.iter().find_map(|table| table.find(&topic.name, recorded, printed))
    };
    let steps = align(expected.len(), printed.len(), |step| match step {
        Step::Both { recorded: r, printed: p } if is_same(r, p) => 0,
        step if explain(step).is_some() => 1,
        Step::Both { .. } => 100,
        _ => 60,
    });
    let mut unexplained = Vec::new();
    let mut raised = false;
    // Where the original came to its end, ours goes on.
    let last = steps.iter().rposition(|step| !matches!(step, Step::Extra { .. }));
    for (number, &step) in steps.iter().enumerate() {
        if matches!(step, Step::Both { recorded: r, printed: p } if is_same(r, p)) {
            continue;
        }
        let behind_the_end = topic.ends != End::Normal && last.is_none_or(|last| number > last);
        match (lines(step), explain(step)) {
            ((_, Some(printed)), _) if behind_the_end => raised |= is_exception(printed),
            (_, Some(difference)) => difference.note(),
            ((recorded, printed), None) => {
                let show = |sign, line: Option<&str>| {
                    line.map_or(String::new(), |line| format!("  {sign} {line}\n"))
                };
                unexplained.push(show('-', recorded) + &show('+', printed));
            }
        }
    }
    if topic.ends == End::Crash && !raised {
        unexplained.push("  the original crashed; ours raised nothing\n".to_string());
    }
    unexplained
}
