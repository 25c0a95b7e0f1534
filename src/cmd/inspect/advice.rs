//! What to do about what was found.

use crate::cmd::inspect::document::{
    Advice, CloseEffect, LossReason, PassReason, PortDocument, SinglePortDocument,
};
use crate::cmd::inspect::surprise::Concern;

/// What to do in a namespace with these ports, and these that have one listener with
/// `SO_REUSEPORT`.
pub fn advice(ports: &[PortDocument], single: &[SinglePortDocument]) -> Vec<Advice> {
    let such = |is: &dyn Fn(&PortDocument) -> bool| -> Option<Vec<u16>> {
        let found: Vec<u16> = ports.iter().filter(|port| is(port)).map(|port| port.port).collect();
        (!found.is_empty()).then_some(found)
    };
    let loses = |port: &PortDocument, reason: LossReason| {
        port.groups.iter().any(|group| group.close == CloseEffect::Loses { reason })
    };
    let concerns = |port: &PortDocument, concern: Concern| {
        let mut surprises = port.groups.iter().flat_map(|group| &group.surprises);
        surprises.any(|surprise| surprise.concerns().contains(&concern))
    };
    let differ =
        |port: &PortDocument| concerns(port, Concern::Options) || concerns(port, Concern::Backlogs);
    let cannot = |port: &PortDocument| {
        loses(port, LossReason::KernelCannot) || loses(port, LossReason::SettingDoesNothing)
    };
    [
        such(&|port| concerns(port, Concern::FullQueue)).map(|ports| Advice::MakeRoom { ports }),
        such(&|port| !port.look_alikes.is_empty()).map(|ports| Advice::ListenAlike { ports }),
        such(&differ).map(|ports| Advice::SetAlike { ports }),
        turn_on(such(&|port| loses(port, LossReason::SettingIsOff)), single),
        such(&cannot)
            .map(|ports| Advice::PassListeners { ports, reason: PassReason::KernelCannot }),
        such(&|port| concerns(port, Concern::Multipath))
            .map(|ports| Advice::PassListeners { ports, reason: PassReason::Multipath }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// At the ports of groups, and where there will be one at a reload.
fn turn_on(groups: Option<Vec<u16>>, single: &[SinglePortDocument]) -> Option<Advice> {
    let off = CloseEffect::Loses { reason: LossReason::SettingIsOff };
    let single = single.iter().filter(|it| it.close_after_another_joined == off);
    let mut ports: Vec<u16> =
        groups.unwrap_or_default().into_iter().chain(single.map(|it| it.port)).collect();
    ports.sort_unstable();
    (!ports.is_empty()).then_some(Advice::TurnOn { ports })
}
