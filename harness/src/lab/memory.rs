//! What the kernel keeps of everything that a case has closed, where the machine is ours.

use std::time::Duration;

use super::Lab;
use crate::error::Result;
use crate::kernel::memory::{Held, More};
use crate::kernel::refused_memory::Refused;
use crate::trace::Act;
use crate::wait;

/// How often it is looked whether memory was freed. Each look shrinks caches.
const LOOK: Duration = Duration::from_millis(50);

/// The fact that says what is still held.
pub const HELD: &str = "kept by the kernel";

impl Lab {
    /// Does something so often that it would fill the record: neither are its packets captured,
    /// nor its acts recorded one by one. What was done stands in the trace, as the act `what`.
    ///
    /// # Errors
    /// Those of `work`, and the kernel's refusals.
    pub fn unseen<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.record(Act::Unrecorded { what: what.to_owned() });
        self.recorder.pause(true)?;
        let done = work(self);
        self.recorder.pause(false)?;
        done
    }

    /// Does something while the kernel gets no memory of a cache, such as `request_sock_TCP`: not
    /// where it would have to wait for it, which leaves what packets and closed listeners cause.
    ///
    /// # Errors
    /// Those of `work`; the kernel cannot be told to.
    pub fn without_memory<T>(
        &mut self,
        cache: &str,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let act = |refused| Act::RefuseMemory { cache: cache.to_owned(), refused };
        self.record(act(true));
        let refused = Refused::all_of(cache)?;
        let done = work(self);
        drop(refused);
        self.record(act(false));
        done
    }

    /// What the kernel holds now, with nothing of this lab's on its way to being freed, nor of
    /// labs before it: what was freed later would hide what is lost.
    ///
    /// # Errors
    /// Sockets that were closed are never freed; `/proc` or `/sys` cannot be read.
    pub fn held(&mut self) -> Result<Held> {
        self.until_freed_but(0)?;
        let mut held = Held::read()?;
        let at_rest = wait::until_every(LOOK, wait::deadline(), "memory to come to rest", || {
            let earlier = std::mem::replace(&mut held, Held::read()?);
            Ok((!held.has_fallen_from(&earlier)).then_some(()))
        });
        match at_rest {
            Err(e) if !e.blames_the_kernel() => return Err(e),
            // Other programs run all the time: it gets no better.
            _ => {}
        }
        self.record(Act::ReadMemory { by: held.counted_by() });
        Ok(held)
    }

    /// Observes under the name [`HELD`] what the kernel holds beyond `earlier`, after
    /// something was done `times` times, when it has had time to free everything.
    ///
    /// # Errors
    /// `/proc` or `/sys` cannot be read.
    pub fn observe_held(&mut self, earlier: &Held, times: usize) -> Result<()> {
        let mut more = More::default();
        let freed = wait::until_every(LOOK, wait::deadline(), "memory to be freed", || {
            more = Held::read()?.more_than(earlier, times);
            Ok(more.is_nothing().then_some(()))
        });
        match freed {
            Err(e) if !e.blames_the_kernel() => return Err(e),
            _ => self.observe(HELD, more.to_string()),
        }
        Ok(())
    }
}
