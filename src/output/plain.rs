//! What a kernel does and what to do about it, in sentences. Pure.

use harness::kernel::Migration;
use scenarios::judge::Verdict;

use crate::output::consumer::Environment;

/// The answer, sentence by sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// ` and this namespace's value`, if migration is off there; else nothing.
    pub off_here: &'static str,
    /// What the kernel does with migration off.
    pub off: Vec<String>,
    /// ` (this namespace's value)`, if migration is on there; else nothing.
    pub on_here: &'static str,
    /// What it does with migration on.
    pub on: Vec<String>,
    /// What to do.
    pub advice: Vec<String>,
}

/// The results of the cases of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    AsExpected,
    KnownBug,
    Deviates(String),
    NotChecked(String),
}

struct Asked<'r> {
    environment: &'r Environment,
    verdicts: &'r [(String, Verdict)],
}

impl Plain {
    /// What these verdicts, by the ids of their cases, say of a kernel.
    pub fn of(environment: &Environment, verdicts: &[(String, Verdict)]) -> Self {
        let asked = Asked { environment, verdicts };
        Self {
            off_here: asked.here("0", " and this namespace's value"),
            off: asked.off(),
            on_here: asked.here("1", " (this namespace's value)"),
            on: asked.on(),
            advice: asked.advice(),
        }
    }
}

impl Asked<'_> {
    fn off(&self) -> Vec<String> {
        vec![
            self.sentence(
                "quiz1/",
                "/off",
                "resets connections that wait in the accept queue: the client gets ECONNRESET",
            ),
            self.sentence(
                "quiz2/",
                "/off",
                "drops handshakes in flight: the client is reset when it sends",
            ),
        ]
    }

    fn on(&self) -> Vec<String> {
        match self.environment.kernel.migration() {
            Migration::Works => {}
            Migration::SysctlOnly => {
                return vec!["does just the same: the sysctl exists and does nothing".into()];
            }
            Migration::Absent => return vec!["cannot be asked to: it has no such sysctl".into()],
        }
        let wakes = match self.found("wake-up", "") {
            Found::KnownBug => {
                "but does not wake that listener: a server that waits in epoll, poll or accept \
                 leaves the connection waiting until the next one comes (known bug, fixed by \
                 3864c6ba1e04)"
                    .into()
            }
            _ => self.sentence(
                "wake-up",
                "",
                "wakes that listener if it waits in epoll, poll or accept",
            ),
        };
        vec![
            self.sentence(
                "quiz1/",
                "/on",
                "hands connections in the accept queue to another listener; the client notices \
                 nothing",
            ),
            self.sentence("quiz2/", "/on", "completes handshakes in flight on another listener"),
            wakes,
        ]
    }

    fn here(&self, value: &str, words: &'static str) -> &'static str {
        if self.environment.migrate_req.as_deref() == Some(value) { words } else { "" }
    }

    fn sentence(&self, prefix: &str, suffix: &str, as_expected: &str) -> String {
        match self.found(prefix, suffix) {
            Found::AsExpected => as_expected.to_owned(),
            Found::KnownBug => format!("has a known bug: see sockmig run {prefix}"),
            Found::Deviates(how) => format!("DEVIATES from every healthy kernel: {how}"),
            Found::NotChecked(why) => format!("(not checked: {why})"),
        }
    }

    /// The worst verdict of the cases between `prefix` and `suffix` speaks for all.
    fn found(&self, prefix: &str, suffix: &str) -> Found {
        let of_kind = || {
            let of_kind = self.verdicts.iter();
            of_kind.filter(|(id, _)| id.starts_with(prefix) && id.ends_with(suffix))
        };
        for (id, verdict) in of_kind() {
            if let Verdict::Fail { mismatches } = verdict {
                let wrong = mismatches.first().map_or("", |mismatch| mismatch.what.as_str());
                return Found::Deviates(format!("{wrong}; see sockmig run {id}"));
            }
        }
        for (_, verdict) in of_kind() {
            if let Verdict::KnownBug { .. } = verdict {
                return Found::KnownBug;
            }
        }
        if of_kind().any(|(_, verdict)| matches!(verdict, Verdict::Pass { .. })) {
            return Found::AsExpected;
        }
        Found::NotChecked(match of_kind().next() {
            Some((_, verdict @ (Verdict::Skip { .. } | Verdict::Error { .. }))) => {
                let reason = verdict.reason().unwrap_or_default();
                reason.lines().next().unwrap_or_default().to_owned()
            }
            _ => "no such case was run".into(),
        })
    }

    fn advice(&self) -> Vec<String> {
        let keep_open = match self.environment.kernel.migration() {
            Migration::Works => {
                "Where listeners of one port are set up differently, do not close them while \
                 they have connections: pass them on to the new server (SCM_RIGHTS, inherited \
                 descriptors), or choose which listener gets the connections with an eBPF \
                 program of type sk_reuseport/migrate."
            }
            Migration::SysctlOnly | Migration::Absent => {
                "Do not close a listener that has connections: pass it on to the new server \
                 (SCM_RIGHTS, inherited descriptors)."
            }
        };
        let draining = "Accepting until EAGAIN before the close saves connections in the accept \
                        queue, but not handshakes in flight.";
        let on = self.environment.migrate_req.as_deref() == Some("1");
        let migrates = self.found("quiz1/", "/on") == Found::AsExpected;
        let wakes = !matches!(self.found("wake-up", ""), Found::KnownBug);
        let first = match self.environment.kernel.migration() {
            Migration::Works if migrates && !wakes => {
                "Update to a kernel that has 3864c6ba1e04 before you rely on \
                 net.ipv4.tcp_migrate_req = 1; until then connections can stall instead of \
                 being reset."
            }
            Migration::Works if migrates && on => {
                "Nothing, if every listener of a port is set up alike: tcp_migrate_req is 1 \
                 here. It belongs to a network namespace, so that every container has its own."
            }
            Migration::Works if migrates && self.environment.sysctls_read_only => {
                "If a server here closes listeners at a reload and all listeners of its port are \
                 set up alike, let the kernel hand connections over. /proc/sys is read-only here, \
                 as in a container, so that the setting is given from outside, when the container \
                 is started: `--sysctl net.ipv4.tcp_migrate_req=1` of docker and podman, or \
                 `securityContext.sysctls` of a pod (kubelet's `--allowed-unsafe-sysctls` must \
                 have it). A container on the host's network has the host's: there, \
                 `sysctl -w net.ipv4.tcp_migrate_req=1` on the node."
            }
            Migration::Works if migrates => {
                "If a server here closes listeners at a reload and all listeners of its port are \
                 set up alike, let the kernel hand connections over: \
                 `sysctl -w net.ipv4.tcp_migrate_req=1`. The setting belongs to a network \
                 namespace, so that every container has its own."
            }
            Migration::Works => {
                "Do not rely on net.ipv4.tcp_migrate_req here before the above is \
                 understood."
            }
            Migration::SysctlOnly | Migration::Absent => {
                "This kernel cannot hand connections over; Linux 5.14 and later can."
            }
        };
        [first, keep_open, draining].map(str::to_owned).into()
    }
}
