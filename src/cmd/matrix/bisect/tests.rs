//! What `git bisect run` is shown.

use rstest::rstest;
use scenarios::judge::Verdict;

use crate::cli::Sought;
use crate::cmd::matrix::bisect::{judged, of_usage};
use crate::exit::Exit;
use crate::fixture::matrix as made;
use crate::output::document::{Complaint, MachineEnd, MatrixDocument};

fn one(end: MachineEnd, verdicts: &[Verdict]) -> MatrixDocument {
    let ids: Vec<String> = (0..verdicts.len()).map(|index| format!("case/{index}")).collect();
    let kernel = made::kernel("bzImage", end, &ids, |at, _| Some(verdicts[at].clone()));
    made::matrix(ids, vec![kernel])
}

fn why() -> String {
    "because".into()
}

#[rstest]
#[case::passes(one(MachineEnd::Completed, &[made::pass(), made::skip()]), Exit::Expected)]
#[case::has_fix(one(MachineEnd::Completed, &[made::has_fix()]), Exit::Expected)]
#[case::known(one(MachineEnd::Completed, &[made::pass(), made::known()]), Exit::Deviates)]
#[case::known_and_broke(one(MachineEnd::Completed, &[made::error(), made::known()]), Exit::Deviates)]
#[case::fails(one(MachineEnd::Completed, &[made::pass(), made::fail("x")]), Exit::Deviates)]
#[case::fails_and_hung(one(MachineEnd::Hung { why: why() }, &[made::fail("x")]), Exit::Deviates)]
#[case::panicked(one(MachineEnd::Panicked { why: why() }, &[made::pass()]), Exit::Deviates)]
#[case::broke(one(MachineEnd::Completed, &[made::pass(), made::error()]), Exit::CannotTest)]
#[case::hung(one(MachineEnd::Hung { why: why() }, &[made::pass()]), Exit::CannotTest)]
#[case::all_skipped(one(MachineEnd::Completed, &[made::skip()]), Exit::CannotTest)]
#[case::never_booted(one(MachineEnd::NeverBooted { why: why() }, &[]), Exit::CannotTest)]
#[case::cannot_boot(one(MachineEnd::CannotBoot { why: why() }, &[]), Exit::CannotTest)]
#[case::cannot_fetch(one(MachineEnd::CannotFetch { why: why() }, &[]), Exit::CannotTest)]
#[case::nothing(made::matrix(vec![], vec![]), Exit::CannotTest)]
#[case::interrupted(one(MachineEnd::Interrupted, &[made::fail("x")]), Exit::Interrupted)]
fn a_kernel_is_good_bad_or_cannot_be_tested(#[case] found: MatrixDocument, #[case] exit: Exit) {
    assert_eq!(judged(&found, Sought::Bug).0, exit);
    let sought = match exit {
        Exit::Expected => Exit::Deviates,
        Exit::Deviates => Exit::Expected,
        same => same,
    };
    assert_eq!(judged(&found, Sought::Fix).0, sought, "0 and 1 change places, and nothing else");
}

#[test]
fn a_kernel_that_complains_is_bad() {
    let mut found = one(MachineEnd::Completed, &[made::pass()]);
    found.kernels[0].complaints.push(Complaint { during: "booting".into(), text: "BUG".into() });
    let (exit, reason) = judged(&found, Sought::Bug);
    assert_eq!((exit, reason.as_str()), (Exit::Deviates, "the kernel panics or complains"));
}

#[rstest]
#[case(one(MachineEnd::Completed, &[made::fail("x")]), "case/0 deviates")]
#[case(one(MachineEnd::Completed, &[made::known()]), "case/0 has a known bug")]
#[case(one(MachineEnd::NeverBooted { why: why() }, &[]), "cannot be tested: never booted: because")]
fn the_reason_is_given(#[case] found: MatrixDocument, #[case] reason: &str) {
    assert_eq!(judged(&found, Sought::Bug).1, reason);
}

#[test]
fn a_wrong_command_line_is_no_bad_commit() {
    let of = |line: &str| of_usage(line.split(' ').map(str::to_owned));
    assert_eq!(of("sockmig matrix --bisect --kernl x"), Exit::GiveUp);
    assert_eq!(of("sockmig matrix --bisect=fxi --kernel x"), Exit::GiveUp);
    assert_eq!(of("sockmig matrix --kernl x"), Exit::Usage);
}
