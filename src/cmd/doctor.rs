//! `sockmig doctor`: what this machine allows, and what to change where it does not.

mod finding;
mod machines;
mod modules;

use std::io::Write;
use std::path::Path;

use harness::kernel::{Kernel, Migration};
use harness::process::Labs;
use scenarios::{advice, engine};

use crate::cmd::doctor::finding::Finding;
use crate::exit::Exit;
use crate::output::consumer::Environment;
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};
use crate::style::Style;

/// Checks everything and reports.
pub fn doctor() -> Exit {
    let labs = Labs::default();
    let (mut findings, exit) = match engine::probe(&labs) {
        Ok(kernel) => (findings(&Environment::read(kernel)), Exit::Expected),
        Err(broken) => {
            stderr::complain(&advice::no_lab(&broken));
            (without_lab(), Exit::Unavailable)
        }
    };
    findings.push(modules::finding());
    findings.extend(machines::findings());
    let style = Style::of(&std::io::stdout());
    let mut to = Stdout::new();
    let width = stdout::width();
    let text: String = findings.iter().map(|finding| finding.shown(style, width)).collect();
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => exit,
        Err(e) => {
            stderr::complain(&e);
            Exit::Unavailable
        }
    }
}

/// What a machine that gives labs allows.
pub fn findings(environment: &Environment) -> Vec<Finding> {
    let kernel = &environment.kernel;
    vec![
        Finding::good("kernel", format!("{kernel}; {}", kernel.build)),
        match environment.root {
            true => Finding::good("namespaces", "net, pid and mount, as root"),
            false => Finding::good("namespaces", "net, pid, mount and user, without root"),
        },
        Finding::good("capture", "a packet socket on the lab's lo"),
        migration(kernel, environment.migrate_req.as_deref()),
        match (&kernel.gate, &kernel.nftables) {
            (Ok(kind), Ok(())) => Finding::good("gate", format!("{kind} holds final ACKs")),
            (Ok(kind), Err(why)) => {
                Finding::good("gate", format!("{kind} holds final ACKs: no nftables ({why})"))
            }
            (Err(why), _) => Finding::bad(
                "gate",
                why.to_string(),
                "quiz 2 cannot hold the final ACK and is skipped; try: modprobe nf_tables",
            ),
        },
        match kernel.has_ipv6 {
            true => Finding::good("IPv6", "::1 on the lab's lo"),
            false => Finding::bad("IPv6", "not on lo", "cases in v6 and v4-mapped are skipped"),
        },
        match kernel.has_second_uid {
            true => Finding::good("second user", "there is one"),
            false => Finding::bad(
                "second user",
                "only one uid is mapped here",
                "the same-uid rule cannot be checked and is skipped; run as root",
            ),
        },
        match &kernel.multipath {
            Ok(()) => Finding::good("Multipath TCP", "sockets of IPPROTO_MPTCP"),
            Err(why) => {
                Finding::bad("Multipath TCP", why.to_string(), "cases under mptcp/ are skipped")
            }
        },
        programs(kernel),
        match environment.tainted.as_deref() {
            Some("0") | None => Finding::good("kernel state", "not tainted"),
            Some(flags) => Finding::bad(
                "kernel state",
                format!("tainted ({flags})"),
                "a warning or a foreign module came before; verdicts stand, with that in mind",
            ),
        },
    ]
}

fn migration(kernel: &Kernel, here: Option<&str>) -> Finding {
    match kernel.migration() {
        Migration::Works => Finding::good(
            "migration",
            format!("tcp_migrate_req and its counters; {} here", here.unwrap_or("unknown")),
        ),
        Migration::SysctlOnly => Finding::bad(
            "migration",
            "tcp_migrate_req is there and does nothing",
            "Linux 5.14 has the code; a setting without counters is a backport of the setting alone",
        ),
        Migration::Absent => {
            Finding::bad("migration", "no tcp_migrate_req", "migration came with Linux 5.14")
        }
    }
}

fn programs(kernel: &Kernel) -> Finding {
    const WHAT: &str = "eBPF";
    match &kernel.programs {
        Ok(()) if kernel.migration() == Migration::Works => {
            Finding::good(WHAT, "programs that choose listeners can be loaded")
        }
        Ok(()) => Finding::bad(
            WHAT,
            "programs can be loaded, and are not asked about migrations",
            "Linux 5.14 has the code; earlier kernels take any attach type",
        ),
        Err(errno) if kernel.may_load_programs => Finding::bad(
            WHAT,
            format!("loading a program is {errno}, though nothing forbids it"),
            "needs a kernel with CONFIG_BPF_SYSCALL, and no security module that forbids it",
        ),
        Err(errno) => Finding::bad(
            WHAT,
            format!("loading a program is {errno}"),
            "cases with programs are skipped; run as root, outside of containers (CAP_BPF in \
             the first user namespace)",
        ),
    }
}

/// What can be said without a lab.
fn without_lab() -> Vec<Finding> {
    let read = |name: &str| harness::net::sysctl::read(name).unwrap_or_else(|_| "not there".into());
    let proc = Path::new("/proc/self/exe").exists();
    let mut findings = vec![match proc {
        true => Finding::good("/proc", "mounted"),
        false => Finding::bad("/proc", "not mounted", "mount -t proc proc /proc"),
    }];
    if proc {
        let max = read("user.max_user_namespaces");
        findings.push(match max.as_str() {
            "0" => Finding::bad(
                "namespaces",
                "user.max_user_namespaces = 0",
                "sysctl -w user.max_user_namespaces=10000, or run as root",
            ),
            _ => Finding::bad(
                "namespaces",
                format!(
                    "refused; user.max_user_namespaces = {max}, \
                     kernel.unprivileged_userns_clone: {}, \
                     kernel.apparmor_restrict_unprivileged_userns: {}",
                    read("kernel.unprivileged_userns_clone"),
                    read("kernel.apparmor_restrict_unprivileged_userns"),
                ),
                "run as root, or outside of the container or sandbox that forbids it",
            ),
        });
    }
    findings
}
