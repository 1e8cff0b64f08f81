//! A printed line: text, and the numbers in it.

use std::sync::LazyLock;

use regex::Regex;

static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"0x[0-9a-fA-F]+|-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?").expect("a pattern")
});

/// How strictly two lines are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Fractions may differ by 1e-5 of the largest fraction of the line.
    Rounded,
    /// Numbers do not count: they are addresses or sizes of the heap.
    Incidental,
}

/// A line taken apart.
pub struct Line<'l> {
    texts: Vec<&'l str>,
    numbers: Vec<&'l str>,
}

fn is_fraction(number: &str) -> bool {
    !number.starts_with("0x") && number.contains(['.', 'e', 'E'])
}

impl<'l> Line<'l> {
    /// Takes a line apart.
    pub fn new(line: &'l str) -> Self {
        Self {
            texts: NUMBER.split(line).collect(),
            numbers: NUMBER.find_iter(line).map(|number| number.as_str()).collect(),
        }
    }

    fn magnitude(&self) -> f64 {
        let fractions = self.numbers.iter().filter(|number| is_fraction(number));
        fractions.filter_map(|number| number.parse().ok()).map(f64::abs).fold(0.0, f64::max)
    }

    /// Whether two lines say the same.
    pub fn matches(&self, other: &Line, comparison: Comparison) -> bool {
        let tolerance = match comparison {
            Comparison::Incidental => return self.texts == other.texts,
            Comparison::Rounded => 1e-5 * self.magnitude(),
        };
        let near = |(a, b): (&&str, &&str)| {
            a == b
                || (is_fraction(a) && is_fraction(b))
                    && matches!((a.parse::<f64>(), b.parse::<f64>()),
                        (Ok(a), Ok(b)) if (a - b).abs() <= tolerance)
        };
        self.texts == other.texts
            && self.numbers.len() == other.numbers.len()
            && self.numbers.iter().zip(&other.numbers).all(near)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(a: &str, b: &str, comparison: Comparison) -> bool {
        Line::new(a).matches(&Line::new(b), comparison)
    }

    #[test]
    fn fractions_may_differ_in_their_last_digits() {
        let line = "(18.58768, 5.553882) 12";
        assert!(matches(line, "(18.58767, 5.553899) 12", Comparison::Rounded));
        assert!(!matches(line, "(18.58798, 5.553882) 12", Comparison::Rounded));
        assert!(!matches(line, "(18.58768, 5.553882) 13", Comparison::Rounded));
        assert!(!matches(line, "(18.58768, 5.553882)", Comparison::Rounded));
        assert!(matches("1.0", "-1e-06", Comparison::Incidental));
        assert!(!matches("1.0", "-1e-06", Comparison::Rounded));
    }

    #[test]
    fn integers_and_addresses_count_as_they_are() {
        assert!(!matches("100000000", "100000001", Comparison::Rounded));
        assert!(!matches("0x80000000", "0x80000001", Comparison::Rounded));
        assert!(matches("data=0x801bc330, 489 KB", "data=0x7f, 3 KB", Comparison::Incidental));
        assert!(!matches("data=0x801bc330", "date=0x801bc330", Comparison::Incidental));
    }
}
