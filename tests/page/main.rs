//! What is made of a run of every case. Ladders say what the kernel showed, and the model of
//! `explore` agrees with it. The page, in a real browser: nothing sticks
//! out, nothing complains, nothing is fetched, and everybody can read it. Pictures are kept in
//! `target/tmp`, to be looked at.
//!
//! The browser is Chromium; accessibility is tested with axe-core's `axe.min.js` in
//! `$SOCKMIG_AXE`. Without them the tests that want them are ignored, and say so.

mod browser;
mod documents;
mod ladders;
mod model;
mod views;

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Trial};

/// Why a test is ignored.
fn missing(browser: Option<&PathBuf>, axe: Option<&PathBuf>) -> Option<&'static str> {
    match (browser, axe) {
        (None, _) => Some("no chromium in PATH"),
        (_, None) => Some("SOCKMIG_AXE names no axe.min.js"),
        _ => None,
    }
}

fn main() {
    let arguments = Arguments::from_args();
    let program = browser::found();
    let axe = std::env::var_os("SOCKMIG_AXE").map(PathBuf::from).filter(|path| path.is_file());
    let trial = |name: &str, missing: Option<&str>, check: fn(&Path, &Path)| {
        let name = match missing {
            None => name.to_owned(),
            Some(missing) => format!("{name} ({missing})"),
        };
        let (program, axe) = (program.clone().unwrap_or_default(), axe.clone().unwrap_or_default());
        let trial = Trial::test(name, move || {
            check(&program, &axe);
            Ok(())
        });
        trial.with_ignored_flag(missing.is_some())
    };
    let any = PathBuf::new();
    let plain = missing(program.as_ref(), Some(&any));
    let tool = missing(program.as_ref(), axe.as_ref());
    let trials = vec![
        trial("ladders_say_what_the_kernel_showed", None, |_, _| ladders::as_the_kernel_showed()),
        trial("the_model_agrees_with_cases", None, |_, _| model::agrees_with_cases()),
        trial("a_late_acknowledgement_is_no_disagreement", None, |_, _| {
            model::late_acknowledgement();
        }),
        trial("every_view_of_the_page_is_whole_and_quiet", plain, views::whole_and_quiet),
        trial("the_page_is_whole_without_its_script", plain, views::without_script),
        trial("filters_and_links_open_what_they_are_asked_for", plain, views::filters_and_links),
        trial("fifteen_kernels_and_every_case_fit", plain, views::fifteen_kernels),
        trial("nothing_is_hard_to_read", plain, views::contrast_of_ladders),
        trial("axe_finds_nothing_when_wide", tool, views::accessible_when_wide),
        trial("axe_finds_nothing_on_a_dark_phone", tool, views::accessible_on_a_dark_phone),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}
