//! What to do about what was found.

use crate::cmd::inspect::document::{Advice, CloseEffect, LossReason, PassReason, PortDocument};
use crate::cmd::inspect::surprise::Surprise;

/// What to do in a namespace with these ports.
pub fn advice(ports: &[PortDocument]) -> Vec<Advice> {
    let such = |is: &dyn Fn(&PortDocument) -> bool| -> Option<Vec<u16>> {
        let found: Vec<u16> = ports.iter().filter(|port| is(port)).map(|port| port.port).collect();
        (!found.is_empty()).then_some(found)
    };
    let loses = |port: &PortDocument, reason: LossReason| {
        port.groups.iter().any(|group| group.close == CloseEffect::Loses { reason })
    };
    let surprises = |port: &PortDocument, is: fn(&Surprise) -> bool| {
        port.groups.iter().flat_map(|group| &group.surprises).any(is)
    };
    let cannot = |port: &PortDocument| {
        loses(port, LossReason::KernelCannot) || loses(port, LossReason::SettingDoesNothing)
    };
    [
        such(&|port| surprises(port, is_full)).map(|ports| Advice::MakeRoom { ports }),
        such(&|port| !port.look_alikes.is_empty()).map(|ports| Advice::ListenAlike { ports }),
        such(&|port| surprises(port, is_of_options)).map(|ports| Advice::SetAlike { ports }),
        such(&|port| loses(port, LossReason::SettingIsOff)).map(|ports| Advice::TurnOn { ports }),
        such(&cannot)
            .map(|ports| Advice::PassListeners { ports, reason: PassReason::KernelCannot }),
        such(&|port| surprises(port, is_multipath))
            .map(|ports| Advice::PassListeners { ports, reason: PassReason::Multipath }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn is_full(surprise: &Surprise) -> bool {
    matches!(surprise, Surprise::FullQueues { .. })
}

fn is_multipath(surprise: &Surprise) -> bool {
    matches!(surprise, Surprise::Multipath | Surprise::MixedMultipath { .. })
}

fn is_of_options(surprise: &Surprise) -> bool {
    match surprise {
        Surprise::FastOpen { .. }
        | Surprise::DeferAccept { .. }
        | Surprise::Filter { .. }
        | Surprise::Md5Keys { .. }
        | Surprise::Option { .. }
        | Surprise::MixedMultipath { .. }
        | Surprise::Backlogs { .. } => true,
        Surprise::Multipath
        | Surprise::FullQueues { .. }
        | Surprise::Users { .. }
        | Surprise::Cleared { .. } => false,
    }
}
