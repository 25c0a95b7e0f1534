//! The ways in which lines are made wrong.

use clap::ValueEnum;

/// A way of making a line wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Operator {
    /// A statement is not there.
    StatementDeleted,
    /// `if (!(condition))`.
    ConditionNegated,
    /// `&&` in place of `||`, and the other way round.
    AndOr,
    /// One side of `&&` or `||` does not count.
    SideDropped,
    /// `<=` in place of `<`, `!=` in place of `==` and so on.
    ComparisonMoved,
    /// 0, 1, one more, one less, true and false.
    Constant,
    /// `--` in place of `++`, `-` in place of `+` and so on.
    Counting,
    /// What stands behind `else` is not done.
    ElseDropped,
    /// A `goto` goes on instead.
    GotoDropped,
    /// Another variable of the same type.
    Sibling,
    /// 0, or NULL, is returned.
    ReturnValue,
}

impl Operator {
    /// As a report has it.
    pub fn words(self) -> &'static str {
        match self {
            Self::StatementDeleted => "statement deleted",
            Self::ConditionNegated => "condition negated",
            Self::AndOr => "and for or",
            Self::SideDropped => "one side dropped",
            Self::ComparisonMoved => "comparison moved",
            Self::Constant => "another constant",
            Self::Counting => "counting the other way",
            Self::ElseDropped => "else dropped",
            Self::GotoDropped => "goto dropped",
            Self::Sibling => "sibling variable",
            Self::ReturnValue => "another value returned",
        }
    }
}
