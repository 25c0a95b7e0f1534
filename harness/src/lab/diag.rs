//! Sockets that somebody else destroys, by netlink.

use std::io;
use std::net::SocketAddr;

use super::{Lab, outcome};
use crate::diag::Diag;
use crate::error::Result;
use crate::socket::Listener;

impl Lab {
    /// Has the kernel destroy a listener (`SOCK_DESTROY`), which stays open: `ok`, or the
    /// errno.
    ///
    /// # Errors
    /// The laboratory broke.
    pub fn destroy(&mut self, listener: &Listener) -> Result<String> {
        self.destroying(listener.name().to_owned(), |diag| diag.destroy_listener(listener))
    }

    /// Has the kernel destroy a client's child, or its request, as `what` says; only the one
    /// with `cookie`, if there is one: `ok`, or the errno.
    ///
    /// # Errors
    /// The laboratory broke.
    pub fn destroy_connection(
        &mut self,
        client: SocketAddr,
        what: &str,
        cookie: Option<u64>,
    ) -> Result<String> {
        let family = self.family;
        let name = self.trace().name_of(client);
        self.destroying(format!("{name}'s {what}"), |diag| {
            diag.destroy_connection(family, client, cookie)
        })
    }

    fn destroying(
        &mut self,
        what: String,
        destroy: impl FnOnce(&mut Diag) -> Result<io::Result<()>>,
    ) -> Result<String> {
        // Written down first: what the kernel sends belongs behind it.
        self.act(&format!("SOCK_DESTROY({what})"));
        Ok(outcome(destroy(self.diag()?)?))
    }

    /// The cookie by which sock_diag knows a client's request or child.
    ///
    /// # Errors
    /// It knows none.
    pub fn cookie_of(&mut self, client: SocketAddr) -> Result<u64> {
        let family = self.family;
        self.diag()?.cookie_of(family, client)
    }

    /// Kept open: a closed one would be counted until an RCU grace period is over.
    fn diag(&mut self) -> Result<&mut Diag> {
        let diag = match self.diag.take() {
            Some(diag) => diag,
            None => Diag::open()?,
        };
        Ok(self.diag.insert(diag))
    }
}
