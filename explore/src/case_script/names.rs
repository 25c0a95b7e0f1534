//! The talk's names for listeners and clients: server_1, client_1.

use std::collections::{BTreeMap, BTreeSet};

use harness::lab::SERVER;
use harness::trace::{Act, Actor, Line, ProgramMap};

use crate::case_script::unprintable::Unprintable;
use crate::model::Slot;

/// Who takes part.
#[derive(Debug, Clone, Default)]
pub struct Names {
    servers: Vec<String>,
    clients: Vec<String>,
    /// Clients that build their segments themselves.
    built: BTreeSet<String>,
    /// Clients that are bound to a port.
    bound: BTreeSet<String>,
    maps: Vec<ProgramMap>,
}

impl Names {
    /// Everybody, in the order in which they come.
    pub fn of(lines: &[&Line]) -> Result<Self, Unprintable> {
        if lines.is_empty() {
            return Err(Unprintable::NotRun);
        }
        let mut names = Self::default();
        for act in lines.iter().filter_map(|line| line.act()) {
            match act {
                Act::Listen { listener, .. }
                | Act::Bind { socket: Actor::Listener(listener), .. }
                | Act::OpenAs { listener, .. }
                | Act::SetOption { socket: Actor::Listener(listener), .. }
                | Act::OpenMultipath { socket: Actor::Listener(listener) } => {
                    add(&mut names.servers, listener);
                }
                Act::Connect { client } if names.servers.contains(client) => {
                    return Err(Unprintable::ListenerConnects);
                }
                Act::Connect { client } => add(&mut names.clients, client),
                Act::Bind { socket: Actor::Client(client), .. } => {
                    add(&mut names.clients, client);
                    names.bound.insert(client.clone());
                }
                Act::SendSegment { client, .. } => {
                    add(&mut names.clients, client);
                    names.built.insert(client.clone());
                }
                Act::Attach { decides: Some(program), .. } => {
                    names.maps.extend(program.maps.iter().cloned());
                }
                _ => {}
            }
        }
        names.maps.sort_by_key(|map| map.number);
        names.maps.dedup_by_key(|map| map.number);
        Ok(names)
    }

    /// Whether a client builds its segments itself.
    pub fn is_built(&self, client: &str) -> bool {
        self.built.contains(client)
    }

    /// The maps of all programs.
    pub fn maps(&self) -> &[ProgramMap] {
        &self.maps
    }

    /// Another map, which no program has.
    pub fn add_map(&mut self, number: u32) {
        const SOCK_ARRAY: u32 = 20;
        if self.maps.iter().all(|map| map.number != number) {
            let map = ProgramMap { number, kind: SOCK_ARRAY, key: 4, value: 8, entries: 1024 };
            self.maps.push(map);
        }
    }

    /// The program's name of a listener.
    pub fn server(&self, name: &str) -> String {
        let index = self.servers.iter().position(|server| server == name);
        format!("server_{}", index.unwrap_or(self.servers.len()) + 1)
    }

    /// The program's name of a client.
    pub fn client(&self, name: &str) -> Result<String, Unprintable> {
        let index = self.clients.iter().position(|client| client == name);
        let index = index.ok_or(Unprintable::UnrecordedClient)?;
        Ok(format!("client_{}", index + 1))
    }

    /// Slots of clients' connections as entries of a dictionary of the program.
    pub fn slots(
        &self,
        slots: &BTreeMap<String, Vec<Option<Slot>>>,
    ) -> Result<String, Unprintable> {
        let mut entries = Vec::new();
        for (name, each) in slots {
            // A program ends before clients whose connecting is not recorded.
            let is_recorded = self.clients.contains(name);
            if !is_recorded || each.iter().all(Option::is_none) {
                continue;
            }
            if self.bound.contains(name) {
                return Err(Unprintable::BoundClient);
            }
            let each =
                each.iter().map(|slot| slot.map_or("None".to_owned(), |slot| slot.to_string()));
            let each = each.collect::<Vec<_>>().join(", ");
            entries.push(format!("{:?}: [{each}]", self.client(name)?));
        }
        Ok(entries.join(", "))
    }

    /// An end of a segment.
    pub fn end(&self, name: &str) -> Result<String, Unprintable> {
        if name == SERVER { Ok("server".to_owned()) } else { self.client(name) }
    }

    /// Who is who, in a line.
    pub fn shown(&self) -> String {
        let servers = self.servers.iter().map(|name| format!("{} is {name}", self.server(name)));
        let clients = self
            .clients
            .iter()
            .enumerate()
            .map(|(at, name)| format!("client_{} is {name}", at + 1));
        servers.chain(clients).collect::<Vec<_>>().join(", ")
    }
}

fn add(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}
