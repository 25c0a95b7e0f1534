//! eBPF programs in a lab.

use super::Lab;
use crate::bpf::{Left, Program, Register, left};
use crate::error::{Context, Result};
use crate::socket::Listener;
use crate::trace::Act;
use crate::wait;

/// The fact that tells whether the kernel still has programs or maps of a lab.
pub const PROGRAMS_LEFT: &str = "programs and maps left";

fn putting(index: u32, listener: &Listener) -> String {
    format!("bpf(BPF_MAP_UPDATE_ELEM, the register, {index}, {})", listener.name())
}

impl Lab {
    /// Has a program choose for the group of `listener`.
    pub fn attach(&mut self, listener: &Listener, program: &Program) -> Result<()> {
        program
            .attach(listener)
            .tested(|| format!("setsockopt({}, SO_ATTACH_REUSEPORT_EBPF)", listener.name()))
    }

    /// Puts listeners into a register, the first at index 0.
    pub fn register(&mut self, register: &Register, listeners: &[&Listener]) -> Result<()> {
        for (index, listener) in (0..).zip(listeners) {
            self.register_at(register, index, listener)?;
        }
        Ok(())
    }

    /// Puts a listener into a register.
    pub fn register_at(
        &mut self,
        register: &Register,
        index: u32,
        listener: &Listener,
    ) -> Result<()> {
        register.put(index, listener).tested(|| putting(index, listener))
    }

    /// As [`Lab::register_at`], with a listener of another register, which was dropped: the
    /// kernel takes its time to forget it.
    pub fn register_when_forgotten(
        &mut self,
        register: &Register,
        index: u32,
        listener: &Listener,
    ) -> Result<()> {
        let name = listener.name();
        wait::until(&format!("{name}'s former register to be freed"), || {
            match register.put(index, listener) {
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) => Ok(None),
                other => other.map(Some).tested(|| putting(index, listener)),
            }
        })
    }

    /// Takes what is at `index` out of a register.
    pub fn take_out(&mut self, register: &Register, index: u32) -> Result<()> {
        register
            .take_out(index)
            .tested(|| format!("bpf(BPF_MAP_DELETE_ELEM, the register, {index})"))?;
        self.record(Act::ClearEntry { index });
        Ok(())
    }

    /// Observes what the kernel still has of this lab's programs and maps, when it has had
    /// time to free them. Call it when all were dropped.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn observe_programs_left(&mut self) -> Result<()> {
        let none = || Ok((left()? == Left::default()).then_some(()));
        match wait::until("every program and map to be freed", none) {
            Err(e) if !e.blames_the_kernel() => return Err(e),
            _ => {}
        }
        self.observe(PROGRAMS_LEFT, left()?.to_string());
        Ok(())
    }
}
