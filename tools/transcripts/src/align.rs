//! Which printed line answers which recorded one.

/// How the lines from some place on are explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Line `recorded` is line `printed`, whether they say the same or not.
    Both {
        /// Of the recording, from 0.
        recorded: usize,
        /// Of what was printed, from 0.
        printed: usize,
    },
    /// A recorded line was not printed.
    Missing {
        /// Of the recording, from 0.
        recorded: usize,
    },
    /// A line was printed that is not recorded.
    Extra {
        /// Of what was printed, from 0.
        printed: usize,
    },
}

/// The cheapest explanation of `printed` lines by `recorded` ones, in their order; `cost` says what
/// one step costs.
pub fn align(recorded: usize, printed: usize, cost: impl Fn(Step) -> u32) -> Vec<Step> {
    // best[r][p]: cost of the lines from r and p on, and the first step.
    let mut best = vec![vec![(0, None); printed + 1]; recorded + 1];
    for r in (0..=recorded).rev() {
        for p in (0..=printed).rev() {
            let both = (r < recorded && p < printed)
                .then_some((Step::Both { recorded: r, printed: p }, (r + 1, p + 1)));
            let missing = (r < recorded).then_some((Step::Missing { recorded: r }, (r + 1, p)));
            let extra = (p < printed).then_some((Step::Extra { printed: p }, (r, p + 1)));
            best[r][p] = [both, missing, extra]
                .into_iter()
                .flatten()
                .map(|(step, (r, p))| (cost(step) + best[r][p].0, Some(step)))
                .min_by_key(|(cost, _)| *cost)
                .unwrap_or((0, None));
        }
    }
    let (mut r, mut p) = (0, 0);
    let mut steps = Vec::new();
    while let (_, Some(step)) = best[r][p] {
        steps.push(step);
        (r, p) = match step {
            Step::Both { .. } => (r + 1, p + 1),
            Step::Missing { .. } => (r + 1, p),
            Step::Extra { .. } => (r, p + 1),
        };
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(recorded: &[&str], printed: &[&str]) -> Vec<Step> {
        align(recorded.len(), printed.len(), |step| match step {
            Step::Both { recorded: r, printed: p } if recorded[r] == printed[p] => 0,
            Step::Both { .. } => 3,
            Step::Missing { .. } | Step::Extra { .. } => 2,
        })
    }

    #[test]
    fn a_line_more_or_less_does_not_move_the_others() {
        use Step::*;
        assert_eq!(
            explain(&["a", "b", "c"], &["a", "c", "d"]),
            [
                Both { recorded: 0, printed: 0 },
                Missing { recorded: 1 },
                Both { recorded: 2, printed: 1 },
                Extra { printed: 2 },
            ]
        );
        assert_eq!(explain(&["a"], &["b"]), [Both { recorded: 0, printed: 0 }]);
        assert_eq!(explain(&[], &[]), []);
    }
}
