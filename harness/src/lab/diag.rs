//! Sockets that somebody else destroys, by netlink.

use std::io;
use std::net::SocketAddr;

use super::{Lab, outcome};
use crate::error::Result;
use crate::socket::Listener;
use crate::socket::diag::Diag;
use crate::trace::{Act, Destroyed};

impl Lab {
    /// Has the kernel destroy a listener (`SOCK_DESTROY`), which stays open: `ok`, or the
    /// errno.
    ///
    /// # Errors
    /// The laboratory broke.
    pub fn destroy(&mut self, listener: &Listener) -> Result<String> {
        let what = Destroyed::Listener(listener.traced());
        self.destroying(what, |diag| diag.destroy_listener(listener))
    }

    /// As [`Lab::destroy`], for a listener of Multipath TCP: what is destroyed is the TCP socket
    /// that listens for it, by the cookie that [`Lab::cookie_of_listener`] had for it.
    ///
    /// # Errors
    /// As [`Lab::destroy`].
    pub fn destroy_multipath(&mut self, listener: &Listener, cookie: u64) -> Result<String> {
        let family = self.family;
        let what = Destroyed::Listener(listener.traced());
        self.destroying(what, |diag| diag.destroy_listener_of(family, cookie))
    }

    /// The cookie by which sock_diag knows the one listener that there is.
    ///
    /// # Errors
    /// It knows none.
    pub fn cookie_of_listener(&mut self) -> Result<u64> {
        let family = self.family;
        self.diag()?.cookie_of_listener(family)
    }

    /// Has the kernel destroy a client's child; only the one with `cookie`, if there is one:
    /// `ok`, or the errno.
    ///
    /// # Errors
    /// The laboratory broke.
    pub fn destroy_child(&mut self, client: SocketAddr, cookie: Option<u64>) -> Result<String> {
        let (family, name) = (self.family, self.recorder.name_of(client));
        self.destroying(Destroyed::Child(name), |diag| {
            diag.destroy_connection(family, client, cookie)
        })
    }

    /// As [`Lab::destroy_child`], a client's request.
    ///
    /// # Errors
    /// The laboratory broke.
    pub fn destroy_request(&mut self, client: SocketAddr, cookie: Option<u64>) -> Result<String> {
        let (family, name) = (self.family, self.recorder.name_of(client));
        self.destroying(Destroyed::Request(name), |diag| {
            diag.destroy_connection(family, client, cookie)
        })
    }

    fn destroying(
        &mut self,
        what: Destroyed,
        destroy: impl FnOnce(&mut Diag) -> Result<io::Result<()>>,
    ) -> Result<String> {
        let recorder = self.recorder.clone();
        let diag = self.diag()?;
        let mut broken = None;
        let done = recorder.act(
            || Act::Destroy(what),
            || match destroy(diag) {
                Ok(done) => done,
                Err(e) => {
                    broken = Some(e);
                    Ok(())
                }
            },
        );
        broken.map_or_else(|| Ok(outcome(done)), Err)
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
