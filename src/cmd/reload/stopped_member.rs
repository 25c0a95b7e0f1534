//! `sockmig reload --stopped-member`: the share of clients that fails when one of two
//! members of a group is stopped.

use std::fmt::Write as _;

use harness::kernel::Migration;
use harness::load::Outcome;
use harness::process::Broken;
use reload::estimate;
use reload::failure::Failure;
use reload::stopped::{Outcomes, Stopped};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cli::ReloadArguments;
use crate::cmd::reload::document::SCHEMA;
use crate::cmd::reload::refusal::Refusal;
use crate::cmd::reload::refusal::of_lab;
use crate::cmd::reload::session::Session;
use crate::exit::Exit;
use crate::output::consumer::Environment;

/// How many clients connect to each group.
const CLIENTS: u32 = 200;

/// What became of clients of groups with a stopped member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoppedDocument {
    schema: u32,
    sockmig: String,
    environment: Environment,
    complete: bool,
    groups: Vec<Group>,
    errors: Vec<String>,
}

/// Clients of one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    migrate_req: bool,
    /// Whether the stopped one was killed in the end.
    killed: bool,
    clients: u64,
    outcomes: Outcomes,
    failed: u64,
    /// The 95 % confidence interval of the share of those that fail.
    share: (f64, f64),
}

impl Group {
    fn of(stopped: Stopped, outcomes: Outcomes) -> Self {
        let clients = outcomes.values().sum();
        let failed = outcomes.iter().filter(|(outcome, _)| outcome.is_loss()).map(|(_, n)| n).sum();
        let share = estimate::share(failed, clients);
        Self { migrate_req: stopped.on, killed: stopped.killed, clients, outcomes, failed, share }
    }

    /// Whether it is as it must be: half of the clients are the stopped one's, within four
    /// standard deviations, and each of them meets the end that its listener.
    fn is_expected(&self, migrates: bool) -> bool {
        if self.killed && self.migrate_req && migrates {
            return self.failed == 0;
        }
        let outcome = if self.killed { Outcome::ResetWaiting } else { Outcome::TimedOutWaiting };
        let apart = (self.failed as f64 - self.clients as f64 / 2.0).abs();
        let is_half = apart <= 2.0 * (self.clients as f64).sqrt();
        is_half && self.outcomes.get(&outcome) == Some(&self.failed)
    }

    fn text(&self) -> String {
        let how: Vec<String> = self
            .outcomes
            .iter()
            .map(|(outcome, count)| format!("{count} {}", outcome.words()))
            .collect();
        format!(
            "migration {:<3}  {:<20}  {} of {} fail ({:.0} to {:.0} %): {}\n",
            if self.migrate_req { "on" } else { "off" },
            if self.killed { "stopped, then killed" } else { "stopped" },
            self.failed,
            self.clients,
            self.share.0 * 100.0,
            self.share.1 * 100.0,
            how.join(", ")
        )
    }
}

/// Measures, and reports.
pub(super) fn stopped_member(arguments: &ReloadArguments) -> Result<Exit, Refusal> {
    let mut session = Session::open(arguments)?;
    let environment = Environment::read(session.kernel.clone());
    session.say(&format!(
        "{}\ntwo servers in a group, one of them stopped (SIGSTOP), {CLIENTS} clients that wait; \
         about 7 s\n\n",
        environment.kernel
    ));
    let mut document = StoppedDocument {
        schema: SCHEMA,
        sockmig: env!("CARGO_PKG_VERSION").into(),
        complete: true,
        groups: vec![],
        errors: vec![],
        environment,
    };
    let settings: &[bool] =
        if session.kernel.migration() == Migration::Absent { &[false] } else { &[false, true] };
    let groups = [false, true].into_iter().flat_map(|killed| {
        settings.iter().map(move |on| Stopped { clients: CLIENTS, on: *on, killed })
    });
    for stopped in groups {
        match session.labs.run(&stopped.work(), stopped.deadline()) {
            Ok(returned) => match returned.parse::<Result<Outcomes, Failure>>() {
                Ok(Ok(outcomes)) => document.groups.push(Group::of(stopped, outcomes)),
                Ok(Err(why)) => document.errors.push(of_lab(&why)),
                Err(e) => document.errors.push(e.to_string()),
            },
            Err(Broken::Interrupted) => {
                document.complete = false;
                break;
            }
            Err(broken) => document.errors.push(broken.to_string()),
        }
    }
    session.show(&document.text(), || document.json());
    session.keep("stopped-member.json", || document.json());
    Ok(document.exit().unless_write_failed(session.close()))
}

impl StoppedDocument {
    fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("a document can be written as JSON") + "\n"
    }

    fn migrates(&self) -> bool {
        self.environment.kernel.migration() == Migration::Works
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for group in &self.groups {
            text.push_str(&group.text());
            if !group.is_expected(self.migrates()) {
                text.push_str("THE KERNEL DEVIATES: that is not what must become of them.\n");
            }
        }
        for error in &self.errors {
            let _ = writeln!(text, "error: {error}");
        }
        if !self.complete {
            text.push_str("Interrupted; this is not everything.\n");
        }
        text.push_str(
            "\nThe kernel does not know that a server is stopped, and gives it its share of the \
             clients.\nThey can be saved only when its listener closes, and something migrates.\n",
        );
        text
    }

    fn exit(&self) -> Exit {
        if !self.complete {
            return Exit::Interrupted;
        }
        if self.groups.iter().any(|group| !group.is_expected(self.migrates())) {
            return Exit::Deviates;
        }
        match (self.errors.is_empty(), self.groups.is_empty()) {
            (false, _) => Exit::Unavailable,
            (true, true) => Exit::NothingRan,
            (true, false) => Exit::Expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn an_interruption_is_told() {
        let environment = crate::fixture::run::run().environment;
        let (schema, sockmig) = (SCHEMA, "0.0.0".into());
        let (groups, errors) = (vec![], vec![]);
        let document =
            StoppedDocument { schema, sockmig, environment, complete: false, groups, errors };
        assert!(document.text().starts_with("Interrupted; this is not everything.\n"));
        assert_eq!(document.exit(), Exit::Interrupted);
    }

    #[rstest]
    #[case::half_time_out(false, false, Outcome::TimedOutWaiting, 97, true)]
    #[case::on_changes_nothing(true, false, Outcome::TimedOutWaiting, 101, true)]
    #[case::too_few(false, false, Outcome::TimedOutWaiting, 60, false)]
    #[case::by_something_else(false, false, Outcome::ResetWaiting, 97, false)]
    #[case::killed(false, true, Outcome::ResetWaiting, 97, true)]
    #[case::saved(true, true, Outcome::ResetWaiting, 0, true)]
    #[case::not_saved(true, true, Outcome::ResetWaiting, 1, false)]
    fn what_must_become_of_clients(
        #[case] on: bool,
        #[case] killed: bool,
        #[case] outcome: Outcome,
        #[case] failed: u64,
        #[case] expected: bool,
    ) {
        let outcomes = [(Outcome::Answered, 200 - failed), (outcome, failed)].into();
        let group = Group::of(Stopped { clients: 200, on, killed }, outcomes);
        assert_eq!((group.clients, group.failed), (200, failed));
        assert_eq!(group.is_expected(true), expected, "{}", group.text());
    }
}
