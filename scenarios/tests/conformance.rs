//! `cargo test`: a line per case and setting, filtered by id.
//!
//! What a case needs is probed while the list is made, so that an unmet need shows as
//! ignored with its reason, under nextest too.

use std::process::ExitCode;
use std::sync::Arc;

use harness::kernel::Kernel;
use harness::net::sysctl::{MIGRATE_REQ, SYNCOOKIES};
use harness::process::Labs;
use harness::trace::{Act, CloseCall, GateKind};
use libtest_mimic::{Arguments, Failed, Trial};
use scenarios::case::{Need, Selected};
use scenarios::judge::Verdict;
use scenarios::requirement::{Met, runs};
use scenarios::{advice, catalogue, engine, report};

fn main() -> ExitCode {
    engine::enter_if_lab();
    let mut arguments = Arguments::from_args();
    // Most cases wait for a timer of the kernel, not for a core.
    arguments.test_threads.get_or_insert_with(engine::default_jobs);
    let labs = Arc::new(Labs::default());
    let kernel = match engine::probe(&labs) {
        Ok(kernel) => Arc::new(kernel),
        Err(broken) => {
            eprintln!("error: {}", advice::no_lab(&broken));
            return ExitCode::from(69);
        }
    };
    // Those that wait longest start first, so that the others run meanwhile.
    let mut selection = catalogue::all();
    selection.sort_by_key(|selected| std::cmp::Reverse(selected.case.waits_for));
    let filter = arguments.filter.clone().unwrap_or_default();
    let trials =
        selection.into_iter().map(|selected| trial(selected.named_by(&filter), &labs, &kernel));
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    labs.wait();
    conclusion.exit_code()
}

fn trial(selected: Selected, labs: &Arc<Labs>, kernel: &Arc<Kernel>) -> Trial {
    let plan = engine::RunPlan::default();
    let unmet = match runs(&selected, kernel, plan.patience) {
        Met::No(Verdict::Skip { reason }) => Some(reason),
        _ => None,
    };
    let (labs, kernel) = (Arc::clone(labs), Arc::clone(kernel));
    let name = match &unmet {
        // libtest's own list has no place for a reason but the name.
        Some(reason) => format!("{} ({reason})", selected.id()),
        None => selected.id(),
    };
    Trial::test(name, move || {
        let outcome = engine::run_once(&labs, &kernel, &selected, 1, plan)
            .map_err(|broken| Failed::from(advice::no_lab(&broken)))?;
        let acts = outcome.seen.trace.acts().filter_map(needed_for);
        if let Some(unstated) = acts.into_iter().find(|need| !states(&selected, *need)) {
            return Err(Failed::from(format!("its needs do not have {unstated:?}")));
        }
        match outcome.verdict {
            Verdict::Pass { .. } | Verdict::KnownBug { .. } | Verdict::Skip { .. } => Ok(()),
            Verdict::Fail { .. } | Verdict::Error { .. } => {
                let kept = Err("not kept; the command below keeps it");
                Err(Failed::from(report::explain(
                    &selected,
                    &kernel,
                    &outcome,
                    kept,
                    report::trace,
                )))
            }
        }
    })
    .with_ignored_flag(unmet.is_some())
}

/// What a kernel must have for an act. A case that does not state it would be blamed on kernels
/// that are built without.
fn needed_for(act: &Act) -> Option<Need> {
    match act {
        Act::Sysctl { name, .. } if name == MIGRATE_REQ => Some(Need::Migration),
        Act::Sysctl { name, .. } if name == SYNCOOKIES => Some(Need::SynCookies),
        Act::Sysctl { .. } => Some(Need::Settings),
        Act::SetOption { option, .. } if option == "TCP_MD5SIG" => Some(Need::Md5),
        Act::SetOption { option, .. } if option.starts_with("TCP_AO_") => Some(Need::Ao),
        Act::Close { by: CloseCall::CloseRange, .. } => Some(Need::CloseRange),
        Act::Close { by: CloseCall::IoUring, .. } => Some(Need::IoUring),
        Act::CloseGate(GateKind::Nftables) => Some(Need::Gate),
        Act::Destroy(_) => Some(Need::Destroy),
        Act::Attach { .. } => Some(Need::Programs),
        Act::SendDescriptors { .. }
        | Act::ReceiveDescriptors { .. }
        | Act::CloseUnixSockets { .. } => Some(Need::UnixSockets),
        Act::ReadMemory { .. } => Some(Need::OwnMachine),
        Act::RefuseMemory { .. } => Some(Need::RefusedMemory),
        _ => None,
    }
}

/// The case that looks whether there is migration, by trying to set it.
const PROBE: &str = "sysctl/probe";

/// Whether a case states a need. Where migration can be turned on, every setting can be set.
fn states(selected: &Selected, need: Need) -> bool {
    if selected.case.name == PROBE && need == Need::Migration {
        return true;
    }
    let needs = selected.needs();
    needs.contains(&need) || (need == Need::Settings && needs.contains(&Need::Migration))
}
