//! Parts put together, and files that are not parts; documents that cannot be read.

use std::sync::LazyLock;

use proptest::prelude::*;
use rstest::rstest;

use crate::cmd::merge::{Part, together};
use crate::fixture::matrix as made;
use crate::output::document::{MachineEnd, MatrixDocument};
use crate::output::matrix::text::text;
use crate::output::read::parse;
use crate::style::Style;

/// The fixture's matrix, each kernel in the shard that its place gives it.
fn shards(of: usize) -> Vec<Part> {
    let whole = made::everything(&made::quizzes());
    let shard = |shard: usize| {
        let kernels = whole.kernels.iter().enumerate().filter(|(at, _)| at % of == shard);
        Part {
            name: format!("shard-{}.json", shard + 1),
            matrix: MatrixDocument {
                shard: Some(format!("{}/{of}", shard + 1)),
                took_ms: 1000 * shard as u64,
                kernels: kernels.map(|(_, kernel)| kernel.clone()).collect(),
                ..whole.clone()
            },
        }
    };
    (0..of).map(shard).collect()
}

fn refused(parts: Vec<Part>) -> String {
    let error = together(parts).expect_err("refused").to_string();
    assert!(!error.contains('\n'), "one sentence: {error}");
    error
}

#[test]
fn shards_make_the_whole_again() {
    let (found, missing) = together(shards(3)).expect("parts of one matrix");
    assert_eq!((missing, found.shard.as_deref()), (None, None));
    assert_eq!((found.kernels.len(), found.took_ms), (14, 2000));
    let names: Vec<&str> = found.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
    assert_eq!(names[..3], ["5.10.100-1", "6.12.85-1", "odd.bin"], "as the parts bring them");
}

#[test]
fn a_shard_that_is_missing_is_said() {
    let mut parts = shards(3);
    let second = parts.remove(1);
    let (found, missing) = together(parts).expect("parts of one matrix");
    assert_eq!(missing.as_deref(), Some("shard 2/3 is missing"));
    let text = text(&found, Style::PLAIN, 80);
    assert!(text.contains("Only shard 1/3, 3/3 of the kernels."), "{text}");
    // What was put together can be completed.
    let part = Part { name: "two-of-three.json".into(), matrix: found };
    let (found, missing) = together(vec![part, second]).expect("parts of one matrix");
    assert_eq!((missing, found.shard, found.kernels.len()), (None, None, 14));
}

#[test]
fn what_is_no_part_is_refused() {
    let with = |change: fn(&mut MatrixDocument)| {
        let mut parts = shards(3);
        change(&mut parts[1].matrix);
        refused(parts)
    };
    assert_eq!(
        with(|part| {
            part.cases.pop();
        }),
        "shard-2.json did not select quiz2/v4-mapped/on, which shard-1.json did"
    );
    assert_eq!(
        with(|part| part.cases.push("bind/v4".into())),
        "shard-1.json did not select bind/v4, which shard-2.json did"
    );
    assert_eq!(
        with(|part| part.cases[1] = "bind/v4".into()),
        "shard-1.json and shard-2.json ran different cases: case 2 is quiz1/v4/on there and \
         bind/v4 here"
    );
    assert_eq!(
        with(|part| part.sockmig = "0.2.0".into()),
        "shard-1.json was written by sockmig 0.1.0, shard-2.json by sockmig 0.2.0: the same must \
         write all parts"
    );
    assert_eq!(
        with(|part| part.shard = Some("2/4".into())),
        "shard-1.json is of 3 shards, and shard-2.json of 4"
    );
    for nonsense in ["", "0/3", "4/3", "2", "two/3", "+2/3", "1/99999999999", "1/4000000000"] {
        let mut parts = shards(3);
        parts[1].matrix.shard = Some(nonsense.into());
        let why = refused(parts);
        assert_eq!(
            why,
            format!(
                "shard-2.json says that it is shard `{nonsense}`, which is not a \
                                 shard"
            )
        );
    }
    assert_eq!(refused(vec![]), "there is nothing to put together");
}

#[test]
fn a_kernel_comes_twice_only_with_equal_results() {
    let mut parts = shards(2);
    let twice = parts[0].matrix.kernels[0].clone();
    parts[1].matrix.kernels.push(twice.clone());
    let (found, _) = together(parts.clone()).expect("the same results");
    assert_eq!(found.kernels.len(), 14);
    let last = parts[1].matrix.kernels.last_mut().expect("a kernel");
    last.end = MachineEnd::Interrupted;
    assert_eq!(
        refused(parts.clone()),
        "the kernel 5.10.100-1 is in shard-1.json and in shard-2.json, with different results"
    );
    parts[0].matrix.kernels.push(twice);
    assert_eq!(refused(parts), "the kernel 5.10.100-1 is twice in shard-1.json");
}

#[rstest]
#[case("", "is empty")]
#[case(" \n", "is empty")]
#[case("{", "is cut off: it ends in the middle of the JSON")]
#[case("<xml/>", "is not JSON: expected value at line 1 column 1")]
#[case("3", "is JSON, and no document of sockmig")]
#[case("[]", "is JSON, and no document of sockmig")]
#[case("{}", "is JSON, and no document of sockmig")]
#[case(r#"{"schema": 1, "sockmig": "0.1.0"}"#, "is JSON, and no document of sockmig")]
#[case(r#"{"schema": "1", "sockmig": "0.1.0", "kernels": []}"#, "is JSON, and no document of")]
#[case(
    r#"{"schema": 0, "sockmig": "0.1.0", "kernels": []}"#,
    "has version 0, which no sockmig ever wrote"
)]
#[case(
    r#"{"schema": 1, "sockmig": "0.1.0", "kernels": []}"#,
    "is a damaged document of sockmig: missing field `cases`"
)]
#[case(
    r#"{"schema": 1, "sockmig": "0.1.0", "environment": {}}"#,
    "is a damaged document of sockmig: missing field `kernel`"
)]
#[case(
    r#"{"anything": {"new": true}, "schema": 7, "sockmig": "9.9.9"}"#,
    concat!(
        "was written by sockmig 9.9.9 in version 7 of the documents, and this sockmig ",
        env!("CARGO_PKG_VERSION"),
        " reads them up to version 2: use the newer one"
    )
)]
fn what_cannot_be_read_is_said(#[case] text: &str, #[case] why: &str) {
    let error = parse(text.as_bytes()).expect_err("refused").to_string();
    assert!(error.starts_with(why), "{error}");
}

#[test]
fn deep_nesting_is_refused_like_any_nonsense() {
    let error = parse("[".repeat(100_000).as_bytes()).expect_err("refused").to_string();
    assert!(error.starts_with("is "), "{error}");
}

/// A document with everything in it.
static JSON: LazyLock<String> = LazyLock::new(|| {
    crate::cmd::matrix::fan_out::json(&made::everything(&made::quizzes())).expect("JSON")
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_document_cut_off_anywhere_is_refused(part in 0.0..1.0f64) {
        let whole = JSON.trim_end().as_bytes();
        let at = (whole.len() as f64 * part) as usize;
        let error = parse(&whole[..at]).expect_err("refused").to_string();
        prop_assert!(error == "is empty" || error.starts_with("is cut off"), "{}", error);
    }

    #[test]
    fn a_document_with_a_wrong_byte_never_ends_in_a_panic(part in 0.0..1.0f64, byte: u8) {
        let mut bytes = JSON.as_bytes().to_vec();
        let at = (bytes.len() as f64 * part) as usize;
        bytes[at] = byte;
        match parse(&bytes) {
            // It may still be a document; then it can be shown.
            Ok(document) => {
                text(&document.into_matrix(), Style::PLAIN, 80);
            }
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
        }
    }
}
