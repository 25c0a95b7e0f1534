//! Histories: a list of steps, and their text.
//!
//! ```text
//! sockmig history 1
//! clients 37 12
//! set net.ipv4.tcp_migrate_req 1
//! listen A backlog 4
//! syn C1
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::{Model, ModelBug, Refusal, SLOTS, Slot};
use crate::step::{MOST_CLIENTS, NoStep, Step};

/// The version of the text.
const VERSION: u32 = 1;

/// How its first line begins.
const HEADING: &str = "sockmig history";

/// More steps than this are no history that anybody reads.
const MOST_STEPS: usize = 1000;

/// What is done, one step after the other, in a namespace in which nothing was done before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct History {
    /// The hash of each client's connection, C1's first: in which of [`SLOTS`] equal parts of
    /// its range it is. It decides which listener of a group the kernel selects.
    pub slots: Vec<Slot>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// As it is kept in a file.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADING} {VERSION}")?;
        let slots: Vec<String> = self.slots.iter().map(ToString::to_string).collect();
        writeln!(f, "clients {}", slots.join(" "))?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// Why a text is no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoHistory {
    /// It does not begin as histories do.
    #[error("it does not begin with `{HEADING} {VERSION}`, so it is no history")]
    NoHeading,
    /// It is of a version of sockmig to come.
    #[error("it is of version {0}, and this sockmig knows version {VERSION}")]
    Newer(u32),
    /// The second line does not say what clients there are.
    #[error("line 2 must be `clients` and up to {MOST_CLIENTS} numbers below {SLOTS}")]
    NoClients,
    /// A line is no step.
    #[error("line {line}: {why}")]
    NoStep {
        /// Its number; the first is 1.
        line: usize,
        /// Why.
        why: NoStep,
    },
    /// A step cannot be taken there, or the model does not know what comes of it.
    #[error("line {line}: `{step}` cannot be done there: {why}")]
    NotAllowed {
        /// Its number; the first is 1.
        line: usize,
        /// The step.
        step: Step,
        /// Why.
        why: Refusal,
    },
    /// There are too many steps.
    #[error("it has more than {MOST_STEPS} steps")]
    TooLong,
}

impl FromStr for History {
    type Err = NoHistory;

    fn from_str(text: &str) -> Result<Self, NoHistory> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        });
        let (_, heading) = lines.next().ok_or(NoHistory::NoHeading)?;
        let version = heading.trim().strip_prefix(HEADING).map(str::trim);
        match version.and_then(|version| version.parse().ok()).ok_or(NoHistory::NoHeading)? {
            VERSION => {}
            newer @ 2.. => return Err(NoHistory::Newer(newer)),
            _ => return Err(NoHistory::NoHeading),
        }
        let (_, clients) = lines.next().ok_or(NoHistory::NoClients)?;
        let slots = slots(clients).ok_or(NoHistory::NoClients)?;
        let (mut steps, mut model) = (vec![], Model::new(BTreeSet::new(), &slots));
        for (line, text) in lines {
            let step: Step = text.parse().map_err(|why| NoHistory::NoStep { line, why })?;
            if let Some(why) = model.refusal(&step) {
                return Err(NoHistory::NotAllowed { line, step, why });
            }
            model.step(&step);
            steps.push(step);
            if steps.len() > MOST_STEPS {
                return Err(NoHistory::TooLong);
            }
        }
        Ok(Self { slots, steps })
    }
}

fn slots(line: &str) -> Option<Vec<Slot>> {
    let mut words = line.split_whitespace();
    if words.next()? != "clients" {
        return None;
    }
    let slots: Vec<Slot> = words
        .map(|word| word.parse().ok().filter(|slot| usize::from(*slot) < SLOTS))
        .collect::<Option<_>>()?;
    (slots.len() <= MOST_CLIENTS).then_some(slots)
}

impl History {
    /// Whether every step can be taken where it stands, by a model with these bugs.
    pub fn is_possible(&self, bugs: &BTreeSet<ModelBug>) -> bool {
        let mut model = Model::new(bugs.clone(), &self.slots);
        self.steps.iter().all(|step| {
            let allowed = model.allows(step);
            if allowed {
                model.step(step);
            }
            allowed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const TEXT: &str = "\
sockmig history 1
clients 37 12
set net.ipv4.tcp_migrate_req 1
listen A backlog 4 defer-accept fast-open 2
listen B backlog 3
select-index A 1
syn C1
fast-open-syn C2 5
ack C1
wait
shutdown A SHUT_RDWR
close A
accept B
";

    #[test]
    fn a_text_is_read_as_it_was_written() {
        let history: History = TEXT.parse().expect("a history");
        assert_eq!(history.to_string(), TEXT);
        let commented = TEXT.replace("wait\n", "  # a second later\n\nwait\n");
        assert_eq!(commented.parse(), Ok(history));
    }

    #[rstest]
    #[case("", "it does not begin with `sockmig history 1`, so it is no history")]
    #[case(
        "sockmig history 0\n",
        "it does not begin with `sockmig history 1`, so it is no history"
    )]
    #[case("sockmig history 2\n", "it is of version 2, and this sockmig knows version 1")]
    #[case(
        "sockmig history 1\nclients 60",
        "line 2 must be `clients` and up to 64 numbers below 60"
    )]
    #[case(
        "sockmig history 1\nclients 1\n\nlisten a backlog 1",
        "line 4: `listen` needs a listener"
    )]
    #[case(
        "sockmig history 1\nclients 1\nlisten A backlog -1",
        "line 3: `listen` needs a listener"
    )]
    #[case(
        "sockmig history 1\nclients 1\ndance A",
        "line 3: `dance` is no act; acts are set, listen"
    )]
    #[case(
        "sockmig history 1\nclients 1\nsyn C2",
        "line 3: `syn C2` cannot be done there: there is no C2: the line `clients` has a number \
         for each client"
    )]
    #[case(
        "sockmig history 1\nclients 1\nclose A",
        "line 3: `close A` cannot be done there: A has not listened before"
    )]
    #[case(
        "sockmig history 1\nclients 1\nwait",
        "line 3: `wait` cannot be done there: there is no timer to wait for"
    )]
    #[case(
        "sockmig history 1\nclients 1\nlisten A backlog 1\nclose A\naccept A",
        "line 5: `accept A` cannot be done there: A is closed"
    )]
    #[case(
        "sockmig history 1\nclients 1\nlisten A backlog 1\nlisten A backlog 1",
        "line 4: `listen A backlog 1` cannot be done there: A exists already"
    )]
    #[case(
        "sockmig history 1\nclients 1\nlisten A backlog 1\nduplicate A\nduplicate A\nduplicate A",
        "line 6: `duplicate A` cannot be done there: A has 3 descriptors, and no listener has more"
    )]
    #[case(
        "sockmig history 1\nclients 1\nlisten A backlog 1\nshutdown A SHUT_RD\nselect-by-hash A",
        "line 5: `select-by-hash A` cannot be done there: A does not listen any more"
    )]
    #[case(
        "sockmig history 1\nclients 1\nlisten A backlog 1\nsyn C1\nack C1\nsyn-in-window C1",
        "line 6: `syn-in-window C1` cannot be done there: what a kernel does with that segment is \
         not in the model, since C1 has a child"
    )]
    #[case("sockmig history 1\nclients 1\nwait 3", "line 3: `wait` needs nothing after it")]
    fn what_is_no_history_is_refused_in_a_sentence(#[case] text: &str, #[case] why: &str) {
        let refused = text.parse::<History>().expect_err("no history").to_string();
        assert!(refused.starts_with(why), "{refused}");
        assert!(!refused.contains('\n'), "{refused}");
    }
}
