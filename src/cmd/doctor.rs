//! `sockmig doctor`: what this machine allows, and what to change where it does not.

mod features;
mod finding;
mod machines;
mod modules;

use std::io::Write;

use harness::essential::Essential;
use harness::kernel::{Base, Kernel, Migration, is_root};
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
    let mut findings = vec![
        Finding::good("kernel", format!("{kernel}; {}", kernel.build)),
        match &kernel.base {
            base @ Base::Known { .. } => Finding::good("base", base.to_string()),
            base @ (Base::Unknown { .. } | Base::Later(_)) => Finding::bad(
                "base",
                base.to_string(),
                "known bugs are told by what cases see, and not by the version",
            ),
        },
        match environment.root {
            true => Finding::good("namespaces", "net, pid and mount, as root"),
            false => Finding::good("namespaces", "net, pid, mount and user, without root"),
        },
        Finding::good("capture", "a packet socket on the lab's lo"),
        migration(environment),
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
        programs(kernel),
    ];
    findings.extend(features::findings(kernel));
    findings.push(match environment.tainted.as_deref() {
        Some("0") | None => Finding::good("kernel state", "not tainted"),
        Some(flags) => Finding::bad(
            "kernel state",
            format!("tainted ({flags})"),
            "a warning or a foreign module came before; verdicts stand, with that in mind",
        ),
    });
    findings
}

fn migration(environment: &Environment) -> Finding {
    let here = environment.migrate_req.as_deref().unwrap_or("unknown");
    match environment.kernel.migration() {
        Migration::Works if environment.sysctls_read_only => Finding::bad(
            "migration",
            format!("tcp_migrate_req and its counters; {here} in this namespace"),
            "/proc/sys is read-only here: a container gets the setting when it is started, by \
             --sysctl net.ipv4.tcp_migrate_req=1, or from its pod",
        ),
        Migration::Works => Finding::good(
            "migration",
            format!("tcp_migrate_req and its counters; {here} in this namespace"),
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

/// What can be said without a lab: which of the things that every case needs are there, and
/// what may keep this process from them.
fn without_lab() -> Vec<Finding> {
    let root = is_root();
    let mut findings: Vec<Finding> = Essential::ALL
        .into_iter()
        .filter(|each| each.is_for_root() || !root)
        .map(|each| match each.is_there() {
            true => Finding::good(each.name(), "there"),
            false => Finding::bad(each.name(), "not there", each.to_string()),
        })
        .collect();
    if Essential::first_missing(root).is_some() {
        return findings;
    }
    let read = |name: &str| harness::net::sysctl::read(name).unwrap_or_else(|_| "not there".into());
    let limits = if root {
        ["user.max_net_namespaces", "user.max_pid_namespaces", "user.max_mnt_namespaces"]
    } else {
        [
            "user.max_user_namespaces",
            "kernel.unprivileged_userns_clone",
            "kernel.apparmor_restrict_unprivileged_userns",
        ]
    };
    let shown = limits.map(|name| format!("{name}: {}", read(name)));
    findings.push(Finding::bad(
        "namespaces",
        format!("refused; {}", shown.join(", ")),
        match root {
            true => "run outside of the container or sandbox that forbids them",
            false => "run as root, or outside of the container or sandbox that forbids them",
        },
    ));
    findings
}
