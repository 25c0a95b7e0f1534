//! Groups of listeners: where they are, in which order, and who of them is chosen.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Lab;
use crate::bpf;
use crate::error::{Context, Result};
use crate::net::witness::{State, sockets};
use crate::socket::bind_spec::BindSpec;
use crate::socket::{BACKLOG, Client, Datagram, Listener, Stream};

impl Lab {
    /// As [`Lab::listen`], at a place of its own.
    pub fn listen_at(&mut self, name: &str, spec: &BindSpec) -> Result<Listener> {
        let listener = self.bind_at(name, spec)?;
        listener.listen(BACKLOG).tested(|| format!("listen({name}, {BACKLOG})"))?;
        Ok(listener)
    }

    /// A socket that is bound with `SO_REUSEPORT`, and does not listen.
    pub fn bind_at(&mut self, name: &str, spec: &BindSpec) -> Result<Listener> {
        let listener = Listener::new(name, spec.family, self.recorder.clone())?;
        spec.bind(&listener).tested(|| format!("bind({name}, {})", spec.address))?;
        Ok(listener)
    }

    /// Connects a bound socket to the server, as a client would be.
    pub fn connect_member(&mut self, member: &Listener) -> Result<()> {
        let (server, name) = (self.family().server(), member.name().to_owned());
        let local = SocketAddr::new(self.family().loopback(), member.port()?);
        self.recorder.with_capture(|capture| capture.trace_mut().name(local, &name));
        member.connect(server).tested(|| format!("connect({name}, {server})"))
    }

    /// Has a classic BPF program give every connection to the member of `listener`'s group
    /// at `index`; the hash decides if there is none.
    pub fn select_index(&mut self, listener: &Listener, index: u32) -> Result<()> {
        bpf::select_index(listener, index).tested(|| {
            format!("setsockopt({}, SO_ATTACH_REUSEPORT_CBPF, {index})", listener.name())
        })
    }

    /// Takes the program away, so that the hash decides again.
    pub fn select_by_hash(&mut self, listener: &Listener) -> Result<()> {
        bpf::detach(listener)
            .tested(|| format!("setsockopt({}, SO_DETACH_REUSEPORT_BPF)", listener.name()))
    }

    /// Observes under the name `order {when}` in which order the kernel has the members of
    /// a group: who serves a client when a program chooses the first, the second, ...
    pub fn observe_order(&mut self, when: &str, members: &[&Listener]) -> Result<()> {
        let mut order = Vec::new();
        for index in 0..members.len() {
            self.select_index(members[0], index as u32)?;
            order.push(self.who_takes(members, 0)?);
        }
        self.select_by_hash(members[0])?;
        self.observe(&format!("order {when}"), order.join(", "));
        Ok(())
    }

    /// Which of `listeners` a client from `port` (0: any) is given to. Nothing of the
    /// connection remains.
    pub fn who_takes(&mut self, listeners: &[&Listener], port: u16) -> Result<String> {
        let client = self.bare_client(port)?;
        let (index, _child) = self.accept_on_any(listeners)?;
        drop(client);
        Ok(listeners[index].name().to_owned())
    }

    /// As [`Lab::who_takes`], for every port of a list.
    pub fn who_takes_each(
        &mut self,
        listeners: &[&Listener],
        ports: impl IntoIterator<Item = u16>,
    ) -> Result<BTreeMap<u16, String>> {
        ports.into_iter().map(|port| Ok((port, self.who_takes(listeners, port)?))).collect()
    }

    fn bare_client(&mut self, port: u16) -> Result<Client> {
        let client = self.client("a client", port)?;
        client.reset_on_close()?;
        self.connect_client(client)
    }

    /// Observes how many children wait for `accept`, whichever process has their listeners open, by
    /// `/proc/net/tcp`.
    pub fn observe_waiting(&mut self, name: &str) -> Result<()> {
        let sockets = sockets(self.family())?;
        let listening = sockets.iter().filter(|socket| socket.state == State::Listen);
        let waiting: u32 = listening.map(|listener| listener.waiting).sum();
        self.observe(name, format!("{waiting} waiting"));
        Ok(())
    }

    /// A UDP socket with `SO_REUSEPORT` at the server's address.
    pub fn udp(&mut self, name: &str) -> Result<Datagram> {
        Datagram::bound(name, self.family(), self.recorder.clone())
    }
}
