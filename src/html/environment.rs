//! Where everything ran: kernels, what they were built with, and how they were run.

use std::collections::BTreeMap;
use std::fmt::Display;

use harness::kernel::configuration::Built;
use harness::kernel::{Base, Kernel};
use maud::{Markup, PreEscaped, html};
use scenarios::judge::Verdict;

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
            (options(page))
        }
    }
}

/// The options without which cases are skipped, and how many on which kernel.
fn options(page: &Page<'_>) -> Markup {
    let kernels = &page.combined.found.kernels;
    let mut options: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, kernel) in kernels.iter().enumerate() {
        for case in kernel.run.iter().flat_map(|run| &run.cases) {
            let Verdict::Skip { reason } = &case.verdict else { continue };
            for option in reason.options() {
                options.entry(option).or_insert_with(|| vec![0; kernels.len()])[at] += 1;
            }
        }
    }
    if options.is_empty() {
        return PreEscaped(String::new());
    }
    table::scrolled(
        "Options of the kernels' configurations that mattered",
        &html! {
            table class="list" {
                caption { "Options that mattered: without them cases are skipped, this many." }
                thead {
                    tr {
                        th scope="col" { "option" }
                        @for kernel in kernels { th scope="col" { (kernel.name) } }
                    }
                }
                tbody {
                    @for (option, counts) in &options {
                        tr {
                            th scope="row" { code { (option) } }
                            @for (kernel, count) in kernels.iter().zip(counts) {
                                td { (answered(kernel, option)) @if *count > 0 { ", " (count) " skipped" } }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// How a kernel's configuration has an option, if that is known.
fn answered(kernel: &KernelDocument, option: &str) -> &'static str {
    let run = kernel.run.as_ref();
    let configuration = run.and_then(|run| run.environment.kernel.configuration.as_ref());
    match configuration.map(|configuration| configuration.get(option)) {
        Some(Built::In) => "y",
        Some(Built::Module) => "m",
        Some(Built::Not) => "n",
        None => "not known",
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
            later @ Base::Later(_) => { (later) },
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use scenarios::judge::skip::Feature;
    use scenarios::judge::{SkipReason, Verdict};

    use crate::fixture::{markup, matrix as made};
    use crate::html::combine::{Combined, Part};
    use crate::html::page::page;
    use crate::output::document::MachineEnd;
    use crate::output::read::Document;

    #[test]
    fn options_that_made_cases_be_skipped_are_listed() {
        let ids = vec!["ao/a".to_owned(), "ao/b".to_owned(), "quiz1".to_owned()];
        let option = || "CONFIG_TCP_AO".to_owned();
        let skip = || SkipReason::BuiltWithout { missing: Feature::Ao, option: option() };
        let verdict = |at: usize, _: &str| match at {
            2 => Some(made::pass()),
            _ => Some(Verdict::Skip { reason: skip() }),
        };
        let with = made::kernel("6.1", MachineEnd::Completed, &ids, verdict);
        let well = made::kernel("6.2", MachineEnd::Completed, &ids, |_, _| Some(made::pass()));
        let document = Document::Matrix(Box::new(made::matrix(ids, vec![with, well])));
        let combined = Combined::of(vec![Part { path: PathBuf::from("matrix.json"), document }]);
        let text = page(&combined, &|_, _| None);
        let body = text.split_once("<main").and_then(|(_, rest)| rest.split_once("</main>"));
        let body = markup::parse(&format!("<main{}</main>", body.expect("a main part").0));
        let captions = body.texts("caption");
        let at = captions.iter().position(|caption| caption.starts_with("Options that mattered"));
        assert!(at.is_some(), "{captions:?}");
        let row = body.all("tr").into_iter().find(|row| row.texts("th") == [option()]);
        let cells = row.expect("a row of the option").texts("td");
        assert_eq!(cells, ["not known, 2 skipped", "not known"]);
    }
}
