//! Where everything ran: kernels, what they were built with, and how they were run.

use std::fmt::Display;

use harness::kernel::{Base, Kernel};
use maud::{Markup, html};

use crate::html::contents::Page;
use crate::html::table;
use crate::output::document::{KernelDocument, RunDocument};
use crate::output::matrix::findings;

/// A row for each kernel.
pub fn environment(page: &Page<'_>) -> Markup {
    html! {
        section aria-labelledby="the-environment" {
            h2 id="the-environment" tabindex="-1" { "Environment" }
            (table::scrolled("Kernels and what they were built with", &html! {
                table class="list" {
                    caption { "Kernels. What they are built with was tried out, not read." }
                    thead {
                        tr {
                            th scope="col" { "kernel" }
                            th scope="col" { "based on" }
                            th scope="col" { "release and package" }
                            th scope="col" { "migration" br; small { "the code of 5.14" } }
                            th scope="col" { "IPv6" br; small { "CONFIG_IPV6" } }
                            th scope="col" { "nftables" br; small { "CONFIG_NF_TABLES_INET" } }
                            th scope="col" { "MD5" br; small { "CONFIG_TCP_MD5SIG" } }
                            th scope="col" { "TCP-AO" br; small { "CONFIG_TCP_AO" } }
                            th scope="col" { "SOCK_DESTROY" br; small { "CONFIG_INET_DIAG_DESTROY" } }
                            th scope="col" { "eBPF programs" br; small { "may be loaded" } }
                            th scope="col" { "second user" }
                        }
                    }
                    tbody { @for kernel in &page.combined.found.kernels { (built(kernel)) } }
                }
            }))
            (table::scrolled("How each kernel was run", &html! {
                table class="list" {
                    caption { "Runs. The setting is that of the network namespace sockmig was started in; cases set their own." }
                    thead {
                        tr {
                            th scope="col" { "kernel" }
                            th scope="col" { "machine" }
                            th scope="col" { "clock" }
                            th scope="col" { "machine ended" }
                            th scope="col" { "final ACKs held by" }
                            th scope="col" { "tcp_migrate_req" }
                            th scope="col" { "tainted" }
                            th scope="col" { "as" }
                            th scope="col" { "rounds" }
                            th scope="col" { "took" }
                        }
                    }
                    tbody { @for kernel in &page.combined.found.kernels { (ran(kernel)) } }
                }
            }))
        }
    }
}

fn built(kernel: &KernelDocument) -> Markup {
    let probed = kernel.run.as_ref().map(|run| &run.environment.kernel);
    html! {
        tr {
            th scope="row" { (kernel.name) }
            @match probed {
                None => td colspan="10" { "nothing is known: " (kernel.end.word()) },
                Some(probed) => {
                    td { (based_on(probed)) }
                    td { code { (probed.release) " " (probed.machine) } br; small { (probed.build) } }
                    td { (migration(probed)) }
                    td { (yes_or_why(&probed.ipv6)) }
                    td { (yes_or_why(&probed.nftables)) }
                    td { (yes_or_why(&probed.md5)) }
                    td { (yes_or_why(&probed.ao)) }
                    td { (yes_or_why(&probed.destroy)) }
                    td { (yes_or_why(&probed.programs)) }
                    td { (yes(probed.has_second_uid)) }
                }
            }
        }
    }
}

fn based_on(kernel: &Kernel) -> Markup {
    html! {
        @match &kernel.base {
            Base::Known { version, family, read_from } => {
                (version) br; small { (family) ", from " (read_from) }
            },
            Base::Unknown { why } => { "not known" br; small { (why) } },
        }
    }
}

fn yes(has: bool) -> &'static str {
    if has { "yes" } else { "no" }
}

fn yes_or_why<Why: Display>(has: &Result<(), Why>) -> String {
    has.as_ref().map_or_else(|why| format!("no: {why}"), |()| "yes".to_owned())
}

fn migration(kernel: &Kernel) -> &'static str {
    use harness::kernel::Migration;
    match kernel.migration() {
        Migration::Works => "yes",
        Migration::SysctlOnly => "no, only the sysctl",
        Migration::Absent => "no",
    }
}

fn ran(kernel: &KernelDocument) -> Markup {
    let machine = kernel.machine.as_ref();
    html! {
        tr {
            th scope="row" { (kernel.name) }
            td {
                @match machine {
                    None if kernel.run.is_some() => "this one, no guest",
                    None => "none",
                    Some(machine) => {
                        (machine.what())
                        @if machine.fresh { ", fresh for each case" }
                    },
                }
            }
            td { @match machine { Some(machine) => { (machine.clock) }, None => "real" } }
            td { (kernel.end.word()) }
            @match &kernel.run {
                None => td colspan="6" {},
                Some(run) => (run_cells(run)),
            }
        }
    }
}

fn run_cells(run: &RunDocument) -> Markup {
    let environment = &run.environment;
    html! {
        td { (findings::gate(&environment.kernel)) }
        td { (environment.migrate_req.as_deref().unwrap_or("there is none")) }
        td { (environment.tainted.as_deref().unwrap_or("unknown")) }
        td { @if environment.root { "root" } @else { "a user, in a user namespace" } }
        td { (run.rounds) }
        td { (format!("{:.1} s", run.took_ms as f64 / 1000.0)) }
    }
}
