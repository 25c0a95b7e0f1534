//! eBPF programs in a lab.

use super::Lab;
use crate::bpf::{Left, Program, SockArray, left};
use crate::error::{Context, Result};
use crate::socket::Listener;
use crate::trace::Act;
use crate::wait;

/// The fact that says whether the kernel still has programs or maps of a lab.
pub const PROGRAMS_LEFT: &str = "programs and maps left";

fn putting(index: u32, listener: &Listener) -> String {
    format!("bpf(BPF_MAP_UPDATE_ELEM, the array, {index}, {})", listener.name())
}

impl Lab {
    /// Attaches a program to the group of `listener`.
    pub fn attach(&mut self, listener: &Listener, program: &Program) -> Result<()> {
        program
            .attach(listener)
            .tested(|| format!("setsockopt({}, SO_ATTACH_REUSEPORT_EBPF)", listener.name()))
    }

    /// Puts listeners into an array, the first at index 0.
    pub fn fill_array(&mut self, array: &SockArray, listeners: &[&Listener]) -> Result<()> {
        for (index, listener) in (0..).zip(listeners) {
            self.put_in_array(array, index, listener)?;
        }
        Ok(())
    }

    /// Puts a listener into an array.
    pub fn put_in_array(
        &mut self,
        array: &SockArray,
        index: u32,
        listener: &Listener,
    ) -> Result<()> {
        array.put(index, listener).tested(|| putting(index, listener))
    }

    /// As [`Lab::put_in_array`], with a listener of another array, which was dropped: the
    /// kernel frees it only after a while.
    pub fn put_in_array_when_freed(
        &mut self,
        array: &SockArray,
        index: u32,
        listener: &Listener,
    ) -> Result<()> {
        let name = listener.name();
        wait::until(&format!("{name}'s former array to be freed"), || {
            match array.put(index, listener) {
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) => Ok(None),
                other => other.map(Some).tested(|| putting(index, listener)),
            }
        })
    }

    /// Removes the listener at `index` from an array.
    pub fn remove_from_array(&mut self, array: &SockArray, index: u32) -> Result<()> {
        array.remove(index).tested(|| format!("bpf(BPF_MAP_DELETE_ELEM, the array, {index})"))?;
        self.record(Act::ClearEntry { array: array.number(), index });
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
