//! What `matrix` and `vm-run` share: which kernels, and on what hardware.

use std::sync::OnceLock;

use vm::architecture::Architecture;
use vm::boot::bootable::{Bootable, Image};
use vm::boot::in_use;
use vm::boot::not_bootable::NotBootable;
use vm::boot::prepare::prepare;
use vm::fetch::cache::{Cache, Progress};
use vm::fetch::choice::{self, Choice};
use vm::machine::accel;
use vm::machine::guest_program::{GuestProgram, NotForGuests};
use vm::machine::qemu::{Accel, Clock, Hardware};

use crate::cli::{AccelChoice, ClockChoice, MachineArguments};

/// The sockmig for the guests.
///
/// # Errors
/// The file that was named is none.
pub fn guest_program(arguments: &MachineArguments) -> Result<GuestProgram, NotForGuests> {
    arguments.guest_binary.as_deref().map_or(Ok(GuestProgram::This), GuestProgram::named)
}

/// The architecture that kernels of the list are to have: the one that was named, or else that of
/// the sockmig for the guests.
pub fn architecture(arguments: &MachineArguments, guests: &GuestProgram) -> Architecture {
    arch_or_own(arguments.arch.or(guests.architecture()))
}

/// The architecture that was named, or that of this program.
pub fn arch_or_own(named: Option<Architecture>) -> Architecture {
    named.or_else(Architecture::of_this_program).unwrap_or_default()
}

/// The kernels that were asked for: all of the table and of this architecture if none was named.
/// None of them is for another one than the guests' sockmig, as far as that is known yet.
///
/// # Errors
/// A sentence, for a command line that is wrong.
pub fn kernels(
    arguments: &MachineArguments,
    architecture: Architecture,
    guests: &GuestProgram,
) -> Result<Vec<Choice>, String> {
    if (arguments.accel, arguments.clock) == (AccelChoice::Kvm, Some(ClockChoice::Virtual)) {
        return Err("KVM has no virtual clock; say --accel tcg, or --clock real".into());
    }
    if arguments.processors > 1 && arguments.clock == Some(ClockChoice::Virtual) {
        return Err("a virtual clock is that of one processor; say --clock real".into());
    }
    if arguments.kernel.is_empty() {
        guests.file_for(architecture).map_err(|e| e.to_string())?;
        return Ok(choice::all(architecture));
    }
    let mut kernels: Vec<Choice> = Vec::new();
    for text in &arguments.kernel {
        let named = choice::choose(text, arguments.modules.as_deref(), architecture)
            .map_err(|e| e.to_string())?;
        for kernel in named.iter().filter_map(Choice::architecture) {
            guests.file_for(kernel).map_err(|e| e.to_string())?;
        }
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
    processors: u32,
    /// What kernels that are given by their paths must be for, too.
    named: Option<Architecture>,
    /// The sockmig for guests.
    pub guests: GuestProgram,
    best: OnceLock<Accel>,
}

impl Workshop {
    /// For what the command line says.
    pub fn new(cache: Cache, arguments: &MachineArguments, guests: GuestProgram) -> Self {
        let MachineArguments { accel, clock, memory, processors, arch: named, .. } = *arguments;
        let clock = clock.or((processors > 1).then_some(ClockChoice::Real));
        Self { cache, accel, clock, memory, processors, named, guests, best: OnceLock::new() }
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
        if let Some(named) = self.named.filter(|named| *named != kernel.architecture) {
            let (name, architecture) = (kernel.name, kernel.architecture);
            return Err(NotBootable::OtherArchitecture { name, architecture, named });
        }
        if self.processors > 1 && matches!(kernel.image, Image::Uml(_)) {
            return Err(NotBootable::OneProcessor { name: kernel.name, asked: self.processors });
        }
        in_use::hold(&kernel);
        let hardware = self.hardware(&kernel);
        Ok((kernel, hardware))
    }

    fn hardware(&self, kernel: &Bootable) -> Hardware {
        let accel = match (self.accel, self.clock, &kernel.image) {
            // A kernel without PVH may be no kernel for this machine: no trial with it.
            (
                AccelChoice::Auto,
                None | Some(ClockChoice::Real),
                Image::Pvh(_) | Image::Plain(_),
            ) if Architecture::of_this_program() == Some(kernel.architecture) => {
                let tried = || accel::best(kernel, &self.guests, self.memory, &self.cache);
                *self.best.get_or_init(tried)
            }
            (AccelChoice::Kvm, ..) => Accel::Kvm,
            _ => Accel::Tcg,
        };
        let clock = match (self.clock, accel) {
            (Some(ClockChoice::Real), _) | (None, Accel::Kvm) => Clock::Real,
            _ => Clock::Virtual,
        };
        Hardware { accel, clock, memory: self.memory, processors: self.processors }
    }
}
