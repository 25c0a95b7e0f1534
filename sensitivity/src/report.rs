//! The report, in Markdown: what was noticed, by mechanism, function and operator, and what was not.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::change::{Change, Origin};
use crate::kernel::Machine;
use crate::outcome::Outcome;
use crate::subject::Named;
use crate::survivor::{self, Class, Survivor};

/// All that a report is about.
#[derive(Debug)]
pub struct Scored<'a> {
    /// The kernel's version.
    pub kernel: &'a str,
    /// Which commit of this repository was measured, and its date.
    pub commit: &'a str,
    /// What the kernels were built for.
    pub machine: Machine,
    /// What the sample is drawn with.
    pub seed: u64,
    /// Each change, with what cases said; only those that count.
    pub changes: Vec<(&'a Change, &'a Outcome)>,
    /// The list of changes with names.
    pub named: &'a [Named],
    /// What is known of survivors.
    pub survivors: &'a [Survivor],
}

/// How many of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Score {
    noticed: usize,
    counted: usize,
}

impl Score {
    fn percent(self) -> String {
        match self.counted {
            0 => "none".into(),
            counted => format!("{:.1} %", 100.0 * self.noticed as f64 / counted as f64),
        }
    }
}

impl Scored<'_> {
    fn class(&self, change: &Change) -> Class {
        survivor::of(change, self.survivors).map_or(Class::Unknown, |survivor| survivor.class)
    }

    fn score<'a>(&self, changes: impl Iterator<Item = &'a (&'a Change, &'a Outcome)>) -> Score {
        let mut score = Score::default();
        for (change, outcome) in changes {
            let survived = **outcome == Outcome::Survived;
            if survived && !self.class(change).counts() {
                continue;
            }
            score.noticed += usize::from(outcome.is_noticed());
            score.counted += 1;
        }
        score
    }

    fn is_named(change: &Change) -> bool {
        matches!(change.origin, Origin::Named(_))
    }

    /// The whole report.
    pub fn markdown(&self) -> String {
        let mut text = self.heading();
        text.push_str("| changes | noticed | of | |\n|---|---|---|---|\n");
        for (name, is_named) in [("named", true), ("systematic", false)] {
            let of = self.changes.iter().filter(|(change, _)| Self::is_named(change) == is_named);
            let score = self.score(of);
            if is_named || score.counted > 0 {
                self.row(&mut text, name, score);
            }
        }
        self.by(&mut text, "mechanism of a named change", |change| self.mechanism(change));
        let systematic = |change: &Change| !Self::is_named(change);
        self.by(&mut text, "operator", |change| {
            systematic(change).then(|| change.kind().to_owned())
        });
        self.by(&mut text, "function", |change| {
            systematic(change).then(|| format!("`{}()`", change.function))
        });
        self.not_noticed(&mut text);
        self.each_named(&mut text);
        text
    }

    /// What was measured.
    fn heading(&self) -> String {
        let mut text = String::new();
        if self.machine != Machine::UserMode {
            let watched = match self.machine {
                Machine::Watched => ", and with KASAN and lockdep",
                _ => "",
            };
            let _ = writeln!(
                text,
                "# What two processors show\n\nThis page answers which wrong lines of the kernel pairs \
                 of acts at the same time noticed when that was last\nmeasured, and which not, and \
                 why.\n\nLinux {} with two processors in QEMU{watched}; the pairs are those of {}. \
                 [Sensitivity](sensitivity.md) says\nwhat the words mean, and how to measure it again.\n",
                self.kernel, self.commit
            );
            return text;
        }
        let _ = writeln!(
            text,
            "# What was noticed\n\nThis page answers which wrong lines of the kernel the cases noticed when \
             that was last measured,\nand which not, and why.\n\nLinux {} as User-Mode Linux; the cases are \
             those of {}; the sample's\nseed is {}. [Sensitivity](sensitivity.md) says what the words \
             mean, and how to measure it again.\n",
            self.kernel, self.commit, self.seed
        );
        text
    }

    fn row(&self, text: &mut String, name: &str, score: Score) {
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} |",
            score.noticed,
            score.counted,
            score.percent()
        );
    }

    fn mechanism(&self, change: &Change) -> Option<String> {
        let Origin::Named(name) = &change.origin else { return None };
        self.named.iter().find(|named| named.name == *name).map(|named| named.mechanism.clone())
    }

    /// What the kernel does with a named change, and which commit that takes back.
    fn broken(&self, change: &Change) -> String {
        let Origin::Named(name) = &change.origin else { return String::new() };
        let Some(named) = self.named.iter().find(|named| named.name == *name) else {
            return String::new();
        };
        match named.fix.as_str() {
            "" => named.breaks.clone(),
            fix => format!("{}; without {fix}", named.breaks),
        }
    }

    fn by(&self, text: &mut String, what: &str, of: impl Fn(&Change) -> Option<String>) {
        let mut rows: BTreeMap<String, Vec<&(&Change, &Outcome)>> = BTreeMap::new();
        for scored in &self.changes {
            if let Some(row) = of(scored.0) {
                rows.entry(row).or_default().push(scored);
            }
        }
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(text, "\n| {what} | noticed | of | |\n|---|---|---|---|");
        for (name, of) in rows {
            self.row(text, &name, self.score(of.into_iter()));
        }
    }

    /// What each change with a name does, and what notices it.
    fn each_named(&self, text: &mut String) {
        let mut rows: Vec<(String, &Change, &Outcome)> = self
            .changes
            .iter()
            .filter_map(|(change, outcome)| Some((self.mechanism(change)?, *change, *outcome)))
            .filter(|(.., outcome)| outcome.is_noticed())
            .collect();
        if rows.is_empty() {
            return;
        }
        rows.sort_by(|one, other| {
            (&one.0, &one.1.file, one.1.line).cmp(&(&other.0, &other.1.file, other.1.line))
        });
        text.push_str(
            "\nThe changes with a name that are noticed, and by what:\n\n\
             | mechanism | function | the broken kernel | noticed by |\n|---|---|---|---|\n",
        );
        for (mechanism, change, outcome) in rows {
            let by = match outcome {
                Outcome::Noticed { cases } => cases.join(", "),
                Outcome::Complained { line } => format!("its log: {line}"),
                _ => "it hangs".to_owned(),
            };
            let _ = writeln!(
                text,
                "| {mechanism} | `{}()` | {} | {} |",
                change.function,
                cell(&self.broken(change)),
                cell(&by)
            );
        }
    }

    fn not_noticed(&self, text: &mut String) {
        let mut left: Vec<(Class, &Change, String)> = Vec::new();
        for (change, outcome) in &self.changes {
            let known = survivor::of(change, self.survivors);
            let reason = known.map(|survivor| survivor.reason.clone());
            match outcome {
                Outcome::Survived => {
                    left.push((self.class(change), change, reason.unwrap_or_default()));
                }
                Outcome::Broke { .. } => {
                    left.push((Class::Gap, change, format!("{outcome}.")));
                }
                _ => {}
            }
        }
        left.sort_by(|one, other| {
            (one.0, &one.1.file, one.1.line).cmp(&(other.0, &other.1.file, other.1.line))
        });
        if left.is_empty() {
            return;
        }
        text.push_str(
            "\nNot noticed:\n\n| what it is | where | change | why |\n|---|---|---|---|\n",
        );
        for (class, change, reason) in left {
            let Change { file, line, function, was, is, .. } = change;
            let code = |text: &str| format!("`{}`", cell(text));
            let is = if is.is_empty() { "nothing".into() } else { code(is) };
            let reason = match reason.is_empty() {
                true => self.broken(change),
                false => reason,
            };
            let _ = writeln!(
                text,
                "| {class} | {file}:{line} `{function}()` | {}: {} becomes {is} | {reason} |",
                change.kind(),
                code(was)
            );
        }
    }
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Operator;

    const SOURCE: &str = "int f(void)\n{\n\tg(1);\n\treturn 2 || 3;\n}\n";

    fn change(was: &str, with: &str, operator: Operator) -> Change {
        let start = SOURCE.find(was).expect("a place");
        let origin = Origin::Systematic(operator);
        Change::new(("a.c", SOURCE), "f", origin, start..start + was.len(), with.into())
    }

    #[test]
    fn what_is_equivalent_does_not_count_and_what_broke_the_laboratory_does() {
        let [deleted, or, constant] = [
            change("g(1);", ";", Operator::StatementDeleted),
            change("||", "&&", Operator::AndOr),
            change("2", "0", Operator::Constant),
        ];
        let survivors: Vec<Survivor> = vec![toml::from_str(
            "file = 'a.c'\nfunction = 'f'\nwas = '||'\nclass = 'equivalent'\nreason = 'It is so.'",
        )
        .expect("a survivor")];
        let noticed = Outcome::Noticed { cases: vec!["quiz1/v4/on".into()] };
        let broke = Outcome::Broke { cases: vec!["quiz2/v4/on".into()] };
        let scored = Scored {
            kernel: "6.12.117",
            commit: "0123456 of 2026-11-28",
            machine: Machine::UserMode,
            seed: 7,
            changes: vec![(&deleted, &noticed), (&or, &Outcome::Survived), (&constant, &broke)],
            named: &[],
            survivors: &survivors,
        };
        let text = scored.markdown();
        let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        has("| systematic | 1 | 2 | 50.0 % |");
        has("| named | 0 | 0 | none |");
        has("| statement deleted | 1 | 1 | 100.0 % |");
        has("| `f()` | 1 | 2 | 50.0 % |");
        has("| equivalent | a.c:4 `f()` | and for or: `\\|\\|` becomes `&&` | It is so. |");
        has(
            "| gap | a.c:4 `f()` | another constant: `2` becomes `0` | only the laboratory broke: quiz2/v4/on. |",
        );
    }

    #[test]
    fn what_a_named_change_does_stands_next_to_what_notices_it() {
        let start = SOURCE.find("g(1);").expect("a place");
        let origin = Origin::Named("g-is-not-called".into());
        let change = Change::new(("a.c", SOURCE), "f", origin, start..start + 5, ";".into());
        let named: Vec<Named> = vec![
            toml::from_str(
                "name = 'g-is-not-called'\nmechanism = 'growth'\nfile = 'a.c'\nfunction = 'f'\n\
             old = 'g(1);'\nnew = ';'\nbreaks = 'a|b is lost'\nfix = '0123456789ab'",
            )
            .expect("a change"),
        ];
        let outcome = Outcome::Noticed { cases: vec!["growth/full/v4".into()] };
        let scored = Scored {
            kernel: "6.12.117",
            commit: "0123456 of 2026-11-28",
            machine: Machine::UserMode,
            seed: 7,
            changes: vec![(&change, &outcome)],
            named: &named,
            survivors: &[],
        };
        let row = "| growth | `f()` | a\\|b is lost; without 0123456789ab | growth/full/v4 |";
        let text = scored.markdown();
        assert!(text.lines().any(|line| line == row), "{text}");
        assert!(text.lines().any(|line| line == "| growth | 1 | 1 | 100.0 % |"), "{text}");
    }
}
