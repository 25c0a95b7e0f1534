//! Which listener children move to, compared with the one that new connections get.

use harness::lab::Lab;
use harness::socket::bind_spec::BindSpec;
use harness::socket::{Listener, Stream};
use harness::{Context, wait};

use crate::judge::expectation::Expectation;

pub(crate) const CHILDREN: u16 = 16;

/// The clients' first port, outside of the range that the kernel chooses from by itself.
pub(crate) const FIRST_PORT: u16 = 20_000;

/// Which listener each child moved to, and which gets a new connection with its four-tuple.
pub(crate) struct Moved(pub(crate) Vec<(String, String)>);

impl Moved {
    pub(crate) fn alike(&self) -> usize {
        self.0.iter().filter(|(moved, anew)| moved == anew).count()
    }

    pub(crate) fn to(&self, name: &str) -> usize {
        self.0.iter().filter(|(moved, _)| moved == name).count()
    }
}

/// `children` children wait in A's queue; B, C and D listen, and are prepared; A is closed.
/// Then, without a program, the same clients connect again.
pub(crate) fn moved(
    lab: &mut Lab,
    spec: &BindSpec,
    children: u16,
    prepare: impl FnOnce(&mut Lab, &[Listener; 3]) -> harness::Result<()>,
) -> harness::Result<Moved> {
    let ports = FIRST_PORT..FIRST_PORT + children;
    let a = lab.listen_at("A", spec)?;
    // The usual backlog is too small for them.
    listen_with_backlog(&a, children)?;
    let mut clients = Vec::new();
    for port in ports.clone() {
        let client = lab.client("a client", port)?;
        client.reset_on_close()?;
        clients.push(lab.connect_client(client)?);
    }
    wait::until("every child in A's accept queue", || {
        Ok((a.queue()?.waiting >= children.into()).then_some(()))
    })?;
    let targets = [lab.listen_at("B", spec)?, lab.listen_at("C", spec)?, lab.listen_at("D", spec)?];
    prepare(lab, &targets)?;
    let before = lab.counters()?;
    lab.close(a);
    if children == CHILDREN {
        lab.observe_counters(&before)?;
    }
    let mut went = std::collections::BTreeMap::new();
    for target in &targets {
        while let Some(child) = target.accept_now()? {
            went.insert(child.peer.port(), target.name().to_owned());
        }
    }
    drop(clients);
    // There may be none to take away.
    let _ = lab.select_by_hash(&targets[0]);
    let group: Vec<&Listener> = targets.iter().collect();
    let anew = lab.who_takes_each(&group, ports)?;
    let both = |(port, moved): (u16, String)| (moved, anew.get(&port).cloned().unwrap_or_default());
    Ok(Moved(went.into_iter().map(both).collect()))
}

fn listen_with_backlog(listener: &Listener, backlog: u16) -> harness::Result<()> {
    let call = || format!("listen({}, {backlog})", listener.name());
    listener.listen(backlog.into()).tested(call)
}

pub(crate) fn observe_moved(lab: &mut Lab, moved: &Moved) -> harness::Result<()> {
    lab.observe("children that moved", moved.0.len());
    let elsewhere = moved.0.len() - moved.alike();
    lab.observe("children that moved elsewhere than a new connection", elsewhere);
    let some = ["B", "C", "D"].iter().filter(|name| moved.to(name) > 0).count();
    lab.observe("listeners that got some", some);
    Ok(())
}

pub(crate) fn by_the_hash() -> Expectation {
    Expectation::new()
        .fact("children that moved", i64::from(CHILDREN))
        .fact("children that moved elsewhere than a new connection", 0)
        // All by chance on one of three: less than once in ten million runs.
        .between("listeners that got some", (2, 3))
        .counters(&[("TCPMigrateReqSuccess", CHILDREN.into())])
}
