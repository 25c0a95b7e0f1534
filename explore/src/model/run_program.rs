//! What a program of a group decides.

use crate::model::program::{Call, Decision, ProgramCondition, ProgramStep};
use crate::model::state::Model;
use crate::step::ListenerId;

impl Model {
    /// `bpf_run_sk_reuseport()`.
    pub(super) fn run_program(&self, group: usize, steps: &[ProgramStep], call: Call) -> Decision {
        let mut selected = None;
        match self.run_steps(group, steps, call, &mut selected) {
            Some(ProgramStep::Drop) => Decision::Drops,
            _ => selected.map_or(Decision::Passes, Decision::Selects),
        }
    }

    /// The step that ends the program, if one does.
    fn run_steps<'s>(
        &self,
        group: usize,
        steps: &'s [ProgramStep],
        call: Call,
        selected: &mut Option<ListenerId>,
    ) -> Option<&'s ProgramStep> {
        steps.iter().find_map(|step| match step {
            ProgramStep::When(condition, then) => {
                let holds = match condition {
                    ProgramCondition::Migrating => call.migrating.is_some(),
                    ProgramCondition::New => call.migrating.is_none(),
                    ProgramCondition::MigratingIs(what) => call.migrating == Some(*what),
                    ProgramCondition::NoPacket => !call.has_packet,
                    ProgramCondition::Selected { array, index } => {
                        let found = self.arrays.get(&(*array, *index)).copied();
                        let member = found.filter(|found| {
                            self.socket(*found).is_some_and(|socket| socket.group == Some(group))
                        });
                        *selected = member.or(*selected);
                        member.is_some()
                    }
                };
                if holds { self.run_steps(group, then, call, selected) } else { None }
            }
            ProgramStep::Pass | ProgramStep::Drop => Some(step),
        })
    }
}
