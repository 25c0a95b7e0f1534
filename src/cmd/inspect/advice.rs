//! What to do about what was found.

use crate::cmd::inspect::document::{Advice, CloseEffect, LossReason, PassReason, PortDocument};
use crate::cmd::inspect::surprise::Concern;

/// What to do in a namespace with these ports.
pub fn advice(ports: &[PortDocument]) -> Vec<Advice> {
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
        such(&|port| loses(port, LossReason::SettingIsOff)).map(|ports| Advice::TurnOn { ports }),
        such(&cannot)
            .map(|ports| Advice::PassListeners { ports, reason: PassReason::KernelCannot }),
        such(&|port| concerns(port, Concern::Multipath))
            .map(|ports| Advice::PassListeners { ports, reason: PassReason::Multipath }),
    ]
    .into_iter()
    .flatten()
    .collect()
}
