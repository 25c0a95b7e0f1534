//! Acts of documents of version 1, which have only their words.

use crate::trace::act::Act;
use crate::trace::parts::{Accepted, Actor, CloseCall, Destroyed, Direction, GateKind, Part};

impl Act {
    /// The act that version 1 of the documents wrote in these words; those that a ladder draws
    /// no conclusions from stay [`Act::Words`].
    pub(super) fn of_version_1(words: &str) -> Self {
        read(words).unwrap_or_else(|| Self::Words(words.to_owned()))
    }
}

fn read(words: &str) -> Option<Act> {
    let named = |text: &str| text.to_owned();
    match words {
        "a fresh client comes" => return Some(Act::Begin(Part::FreshClient)),
        "done" => return Some(Act::Begin(Part::TakingDown)),
        "gate opens" => return Some(Act::OpenGate),
        "gate closed (nftables)" => return Some(Act::CloseGate(GateKind::Nftables)),
        "gate closed (a filter on the listener)" => return Some(Act::CloseGate(GateKind::Filter)),
        _ => {}
    }
    if let Some((name, value)) =
        words.split_once(" = ").filter(|(name, _)| !name.contains(['[', ' ']))
    {
        return Some(Act::Sysctl { name: named(name), value: named(value) });
    }
    if let Some((listener, program)) = words.split_once("'s group runs: ") {
        let (listener, program) = (named(listener), named(program));
        return Some(Act::Attach { listener, program, decides: None });
    }
    let (verb, rest) = words.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(')')?;
    let socket = |name: &str| Actor::Listener(named(name));
    Some(match (verb, arguments.split_once(", "), result) {
        ("listen", None, "") => Act::Listen { listener: named(arguments), backlog: 0 },
        ("close", None, "") => Act::Close {
            socket: socket(arguments),
            by: CloseCall::Close,
            last: true,
            at_scope_end: false,
        },
        ("connect", None, "") => Act::Connect { client: named(arguments) },
        ("connect", Some((name, "AF_UNSPEC")), "") => Act::Disconnect { socket: socket(name) },
        ("shutdown", Some((name, how)), "") => {
            let how = match how {
                "SHUT_RD" => Direction::Read,
                "SHUT_WR" => Direction::Write,
                "SHUT_RDWR" => Direction::Both,
                _ => return None,
            };
            Act::Shutdown { socket: socket(name), how }
        }
        ("SOCK_DESTROY", None, "") => Act::Destroy(match arguments.rsplit_once("'s ") {
            Some((client, "child")) => Destroyed::Child(named(client)),
            Some((client, "request")) => Destroyed::Request(named(client)),
            Some(_) => return None,
            None => Destroyed::Listener(named(arguments)),
        }),
        ("accept", None, ": EAGAIN") => {
            Act::Accept { listener: named(arguments), got: Accepted::Nothing }
        }
        ("accept", None, result) => {
            let client = result.strip_prefix(": ")?.strip_suffix("'s connection")?;
            let got = Accepted::Connection(named(client));
            Act::Accept { listener: named(arguments), got }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// The words of version 1 are those of today, without what nothing shows.
    #[rstest]
    fn words_are_read(
        #[values(
            "listen(A)",
            "close(A)",
            "shutdown(A, SHUT_RD)",
            "connect(A, AF_UNSPEC)",
            "SOCK_DESTROY(A)",
            "SOCK_DESTROY(C's child)",
            "SOCK_DESTROY(W's request)",
            "accept(B): EAGAIN",
            "accept(B): C's connection",
            "gate closed (nftables)",
            "gate opens",
            "net.ipv4.tcp_migrate_req = 1",
            "A's group runs: when migrating: select 2; pass",
            "a fresh client comes",
            "done"
        )]
        words: &str,
    ) {
        let act = Act::of_version_1(words);
        assert!(!matches!(act, Act::Words(_)), "{words}");
        assert_eq!(act.to_string(), words);
    }

    #[test]
    fn other_words_stay_words() {
        for words in ["execve", "", "close(", "shutdown(A)", "register[0] = A", "250 ms pass"] {
            assert_eq!(Act::of_version_1(words), Act::Words(words.to_owned()));
        }
    }
}
