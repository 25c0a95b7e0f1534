//! Does what acts of a record say.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use harness::trace::{Accepted, Act, Notation};

use crate::model::{CallResult, Counter, ListenerOptions, Outline, ReceivedOnce, Rest, Seen};
use crate::recorded::acts::{Deed, ListenerOption, deed};
use crate::recorded::left_out::LeftOut;
use crate::recorded::mismatch::{Ended, Fact};
use crate::recorded::player::{Played, Player};
use crate::step::{ListenerId, Step};

impl<'t> Player<'t> {
    pub(super) fn act(&mut self, act: &'t Act, refused: Option<&str>) -> Played {
        if let Some(errno) = refused {
            return self.refused(act, errno);
        }
        match deed(act).map_err(Ended::LeftOut)? {
            Deed::Nothing => {}
            Deed::Set(setting) => self.take(&Step::Set(setting))?,
            Deed::SetFastOpen(takes) => self.takes_fast_open = takes,
            Deed::SetOption(name, option) => self.set_option(name, option)?,
            Deed::Bind(name, to) => self.bind(name, to)?,
            Deed::Listen(name, backlog) => self.listen(name, backlog)?,
            Deed::Shutdown(name, how) => match self.listening(name) {
                Some(listener) => self.take(&Step::Shutdown { listener, how })?,
                None => return Self::unknown(LeftOut::ShutdownOfOther),
            },
            Deed::Attach(name, program) => match self.listening(name) {
                Some(listener) => self.model.program_is_attached(listener, program),
                None => return Self::unknown(LeftOut::Program),
            },
            Deed::SetEntry(entry, name) => {
                let listener = name.and_then(|name| self.listening(name));
                self.model.entry_is_set(entry, listener);
            }
            Deed::Hold(names) => self.held.extend(names),
            Deed::CloseOne(name) if self.held.contains(name) => {}
            Deed::CloseOne(_) => return Self::unknown(LeftOut::SharedName),
            Deed::Close(names) => {
                for name in names {
                    self.close(name)?;
                }
            }
            Deed::StopListening(name) => {
                if let Some(listener) = self.listening(name) {
                    let seen = self.model.stops_listening(listener);
                    self.expected.add(seen);
                }
            }
            Deed::SelectIndex(name, index) => {
                if let Some(listener) = self.listening(name) {
                    self.take(&Step::SelectIndex { listener, index })?;
                }
            }
            Deed::SelectByHash(name) => {
                if let Some(listener) = self.listening(name) {
                    self.take(&Step::SelectByHash { listener })?;
                }
            }
            Deed::Connect(name) => self.connect(name)?,
            Deed::Segment(name, segment) => self.built_segment(name, segment)?,
            Deed::Accept(name, got) => self.accept(name, got)?,
            Deed::Receive(name, got) => self.receive(name, got)?,
            Deed::ResetWhenClosed(name) => {
                if let Some(client) = self.current.get(name) {
                    self.clients[client.0].child_resets = true;
                }
            }
            Deed::CloseChild(name) => self.close_child(name, false),
            Deed::ResetChild(name) => self.close_child(name, true),
            Deed::DestroyChild(name) => {
                if let Some(client) = self.current.get(name).copied() {
                    let seen = self.model.child_is_destroyed(client);
                    self.expected.add(seen);
                }
            }
            Deed::DestroyRequest(name) => {
                if let Some(client) = self.current.get(name).copied() {
                    let seen = self.model.request_is_destroyed(client);
                    self.expected.add(seen);
                }
            }
            Deed::CloseGate => self.gate_is_closed = true,
            Deed::OpenGate => self.gate_is_closed = false,
            Deed::ReadCounters(grown) => self.read_counters(grown)?,
            Deed::ReadQueue(name, waiting, backlog) => self.read_queue(name, waiting, backlog)?,
            Deed::ReadListeners(count) => {
                let listening = self.model.queues().len();
                self.check(Fact::Listeners, &listening, &count)?;
            }
            Deed::BeginWaiting(name) => {
                if let Some(listener) = self.listening(name) {
                    let children = self.model.queues().get(&listener).copied().unwrap_or(0);
                    self.expected.begin_waiting(listener, children);
                }
            }
            Deed::ReadWaiter(name, woken) => {
                // One that has been shut down reports that.
                if let Some(listener) = self.listening(name)
                    && let Some(model) = self.expected.is_woken(listener)
                {
                    self.check(Fact::Waiter, &model, &woken)?;
                }
            }
        }
        Ok(())
    }

    /// A call that the kernel refused changes nothing; where the model knows it, it must refuse
    /// it, too.
    fn refused(&mut self, act: &'t Act, errno: &str) -> Played {
        if let Ok(Deed::SelectByHash(name)) = deed(act)
            && let Some(listener) = self.listening(name)
        {
            let seen = self.model.step(&Step::SelectByHash { listener });
            return self.check(Fact::Result, &seen.result, &errno);
        }
        Ok(())
    }

    /// A step of histories is taken, which the kernel has not refused.
    fn take(&mut self, step: &Step) -> Played {
        let seen = self.model.step(step);
        let result = seen.result.clone();
        self.expected.add(seen);
        self.check(Fact::Result, &result, &CallResult::Done)
    }

    /// The listener of this name, if it listens.
    fn listening(&self, name: &str) -> Option<ListenerId> {
        let listener = *self.listeners.get(name)?;
        self.model.backlog(listener).map(|_| listener)
    }

    fn options(&mut self, name: &'t str) -> &mut ListenerOptions {
        // As the lab makes listeners that a case is not about.
        let usual = ListenerOptions { reuse_port: true, defer_accept: 0, fast_open_most: 0 };
        self.options.entry(name).or_insert(usual)
    }

    fn set_option(&mut self, name: &'t str, option: ListenerOption) -> Played {
        if let ListenerOption::V6Only(on) = option {
            self.v6_only.insert(name, on);
            return Ok(());
        }
        let made = self.listeners.get(name).copied();
        let takes_fast_open = self.takes_fast_open;
        let is_bound = made.is_some() || self.bound.contains_key(name);
        let options = self.options(name);
        match option {
            // It counts when it is bound.
            ListenerOption::ReusePort(_) if is_bound => {
                return Self::unknown(LeftOut::SeveralAddresses);
            }
            ListenerOption::V6Only(_) => {}
            ListenerOption::ReusePort(on) => options.reuse_port = on,
            ListenerOption::DeferAccept(timeouts) => options.defer_accept = timeouts,
            ListenerOption::FastOpen(most) => {
                options.fast_open_most = if takes_fast_open { most } else { 0 };
            }
        }
        let options = *options;
        if let Some(listener) = made {
            self.model.set_options(listener, options);
        }
        Ok(())
    }

    fn bind(&mut self, name: &'t str, to: SocketAddr) -> Played {
        // Only what is set before makes it a member of a group.
        self.options.entry(name).or_insert(ListenerOptions {
            reuse_port: false,
            defer_accept: 0,
            fast_open_most: 0,
        });
        self.bound.insert(name, to);
        Ok(())
    }

    fn listen(&mut self, name: &'t str, backlog: u32) -> Played {
        let v6_only = self.v6_only.get(name).copied().unwrap_or(false);
        let address = self.bound.get(name).map(|address| (*address, v6_only));
        if *self.address.get_or_insert(address) != address {
            return Self::unknown(LeftOut::SeveralAddresses);
        }
        let options = *self.options(name);
        let next = ListenerId(self.listeners.len());
        let listener = *self.listeners.entry(name).or_insert(next);
        let seen = self.model.listens_with(listener, backlog, options);
        self.expected.add(seen);
        Ok(())
    }

    /// A listener is open nowhere any more. Its name may be another one's later.
    fn close(&mut self, name: &'t str) -> Played {
        if let Some(listener) = self.listening(name) {
            let seen = self.model.stops_listening(listener);
            self.expected.add(seen);
        }
        Ok(())
    }

    fn built_segment(&mut self, name: &'t str, segment: Notation) -> Played {
        self.built.insert(name);
        let client = self.connection(name, segment.is_syn());
        let known = &mut self.clients[client.0];
        if segment.is_syn() && segment.seq != known.base {
            // The trace counts from here on.
            known.base = segment.seq;
            (known.knows_server, known.syn_ack) = (false, None);
        }
        self.segment(name, segment)
    }

    fn connect(&mut self, name: &'t str) -> Played {
        let before = self.current.get(name).copied();
        let is_open = before.is_some_and(|client| {
            let outline = self.model.expects(client).outline;
            !self.clients[client.0].is_over && matches!(outline, Outline::Child | Outline::Request)
        });
        if is_open {
            return Self::unknown(LeftOut::SharedName);
        }
        self.connecting.insert(name);
        Ok(())
    }

    fn accept(&mut self, name: &'t str, got: &Accepted) -> Played {
        let Some(listener) = self.listeners.get(name).copied() else { return Ok(()) };
        let (client, seen) = self.model.accepts(listener);
        let Seen { result, .. } = seen;
        let model = match (client, result) {
            (Some(client), _) => Accepted::Connection(self.clients[client.0].name.clone()),
            (None, CallResult::Refused(errno)) if errno != "EAGAIN" => {
                return self.check(Fact::Result, &errno, got);
            }
            (None, _) => Accepted::Nothing,
        };
        self.check(Fact::Result, &model, got)
    }

    fn receive(&mut self, name: &str, got: &str) -> Played {
        let Some(client) = self.current.get(name).copied() else { return Ok(()) };
        if self.clients[client.0].is_over {
            return Ok(());
        }
        let Some(received) = self.model.receives(client) else { return Ok(()) };
        match received {
            // Which bytes they are the model does not know: it has a number, between quotes.
            ReceivedOnce::Bytes(bytes) => {
                let quoted = got.len().saturating_sub(2);
                self.check(Fact::Result, &bytes, &quoted)
            }
            ReceivedOnce::Rest(Rest::More) => self.check(Fact::Result, &"EAGAIN", &got),
            ReceivedOnce::Rest(Rest::End) => self.check(Fact::Result, &"end of stream", &got),
            ReceivedOnce::Rest(Rest::Error(errno)) => self.check(Fact::Result, &errno, &got),
        }
    }

    fn close_child(&mut self, name: &str, resets: bool) {
        let Some(client) = self.current.get(name).copied() else { return };
        let known = &mut self.clients[client.0];
        if std::mem::replace(&mut known.is_over, true) {
            return;
        }
        let resets = resets || known.child_resets;
        let (is_known, seen) = self.model.child_is_closed(client, resets);
        self.expected.add(seen);
        self.expected.forget_answers(client);
        if !is_known {
            self.expected.forget_counters();
        }
    }

    fn read_counters(&mut self, grown: &BTreeMap<String, i64>) -> Played {
        let Some(model) = self.expected.counters_are_read() else { return Ok(()) };
        for counter in Counter::ALL {
            // Clients that are sockets have timers, too, and send again.
            let is_theirs = matches!(counter, Counter::Timeouts | Counter::SynRetrans);
            if is_theirs && self.has_sockets {
                continue;
            }
            let model = model.get(counter).copied().unwrap_or(0);
            let kernel = grown.get(counter.name()).copied().unwrap_or(0);
            self.check(Fact::Counter(*counter), &format!("{model:+}"), &format!("{kernel:+}"))?;
        }
        Ok(())
    }

    fn read_queue(&mut self, name: &str, waiting: u32, backlog: u32) -> Played {
        let Some(listener) = self.listening(name) else { return Ok(()) };
        let children = self.model.queues().get(&listener).copied().unwrap_or(0);
        let room = self.model.backlog(listener).unwrap_or(0);
        let (model, kernel) = (format!("{children} of {room}"), format!("{waiting} of {backlog}"));
        self.check(Fact::Queue, &model, &kernel)
    }
}
