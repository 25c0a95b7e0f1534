//! What `matrix` and `vm-run` share: which kernels, and on what hardware.

use std::sync::OnceLock;

use vm::boot::bootable::{Bootable, Image};
use vm::boot::in_use;
use vm::boot::not_bootable::NotBootable;
use vm::boot::prepare::prepare;
use vm::fetch::cache::{Cache, Progress};
use vm::fetch::choice::{self, Choice};
use vm::machine::accel;
use vm::machine::qemu::{Accel, Clock, Hardware};

use crate::cli::{AccelChoice, ClockChoice, MachineArguments};

/// The kernels that were asked for: all of the table if none was named.
///
/// # Errors
/// A sentence, for a command line that is wrong.
pub fn kernels(arguments: &MachineArguments) -> Result<Vec<Choice>, String> {
    if (arguments.accel, arguments.clock) == (AccelChoice::Kvm, Some(ClockChoice::Virtual)) {
        return Err("KVM has no virtual clock; say --accel tcg, or --clock real".into());
    }
    if arguments.kernel.is_empty() {
        return Ok(choice::all());
    }
    let mut kernels: Vec<Choice> = Vec::new();
    for text in &arguments.kernel {
        let named =
            choice::choose(text, arguments.modules.as_deref()).map_err(|e| e.to_string())?;
        kernels.extend(
            named.into_iter().filter(|kernel| !kernels.contains(kernel)).collect::<Vec<_>>(),
        );
    }
    if arguments.modules.is_some() && !kernels.iter().any(Choice::is_own) {
        return Err("--modules is for a kernel that is given by its path".into());
    }
    Ok(kernels)
}

/// Decides on hardware, KVM's trial once for all kernels.
pub struct Workshop {
    cache: Cache,
    accel: AccelChoice,
    clock: Option<ClockChoice>,
    memory: u32,
    best: OnceLock<Accel>,
}

impl Workshop {
    /// For what the command line says.
    pub fn new(cache: Cache, arguments: &MachineArguments) -> Self {
        let MachineArguments { accel, clock, memory, .. } = *arguments;
        Self { cache, accel, clock, memory, best: OnceLock::new() }
    }

    /// Makes a kernel ready, and says on what it is to be booted.
    ///
    /// # Errors
    /// [`NotBootable`].
    pub fn prepare(
        &self,
        choice: &Choice,
        watch: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(Bootable, Hardware), NotBootable> {
        let kernel = prepare(choice, &self.cache, watch)?;
        in_use::hold(&kernel);
        let hardware = self.hardware(&kernel);
        Ok((kernel, hardware))
    }

    fn hardware(&self, kernel: &Bootable) -> Hardware {
        let accel = match (self.accel, self.clock, &kernel.image) {
            // A kernel without PVH may be no kernel for this machine: no trial with it.
            (AccelChoice::Auto, None | Some(ClockChoice::Real), Image::Pvh(_)) => {
                *self.best.get_or_init(|| accel::best(kernel, self.memory, &self.cache))
            }
            (AccelChoice::Kvm, ..) => Accel::Kvm,
            _ => Accel::Tcg,
        };
        let clock = match (self.clock, accel) {
            (Some(ClockChoice::Real), _) | (None, Accel::Kvm) => Clock::Real,
            _ => Clock::Virtual,
        };
        Hardware { accel, clock, memory: self.memory }
    }
}
