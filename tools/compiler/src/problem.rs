//! What stands between a model and its kmodel, said so that the model's author can act on it.

use std::fmt;

/// One obstacle; a compilation reports all that it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the node, or the file at fault.
    pub node: String,
    /// The operator as the model file calls it; empty if no operator is meant.
    pub operator: String,
    /// Shapes of its operands and results.
    pub shapes: String,
    /// Why it cannot be compiled.
    pub why: String,
    /// What to change.
    pub advice: String,
}

impl Problem {
    /// A problem of the model as a whole.
    pub fn general(
        node: impl Into<String>,
        why: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            node: node.into(),
            operator: String::new(),
            shapes: String::new(),
            why: why.into(),
            advice: advice.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.node)?;
        if !self.operator.is_empty() {
            write!(f, " ({}{})", self.operator, self.shapes)?;
        }
        write!(f, ": {}", self.why)?;
        if !self.advice.is_empty() {
            write!(f, "\n  hint: {}", self.advice)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// The part of a problem that an operator's importer knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why the operator cannot be compiled.
    pub why: String,
    /// What to change.
    pub advice: String,
}

impl Fault {
    /// A fault with advice.
    pub fn new(why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { why: why.into(), advice: advice.into() }
    }

    /// An operator whose fields contradict each other.
    pub fn damaged(why: impl Into<String>) -> Self {
        Self::new(why, "the file is damaged or made by an unknown exporter; export the model again")
    }
}
