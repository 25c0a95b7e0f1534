//! Why clients are lost with migration on, as it is shown.

use std::collections::BTreeMap;

use harness::load::Outcome;
use reload::cause::LossCause;

use crate::cmd::reload::answer;
use crate::cmd::reload::tests::{document, with_on};
use crate::style::Style;

/// With migration on each loss has a cause, in the document and in words.
#[rstest::rstest]
#[case::none(&[], None, "loses none of")]
#[case::some(
    &[(Outcome::ResetWaiting, 2)],
    Some(LossCause::ChildForgotten),
    "2.00 per reload: by children that are made while their listener closes, which migration does \
     not cover and no counter of it tells of (child-forgotten). `sockmig race close/ack` shows"
)]
#[case::as_many_as_without_migration(
    &[(Outcome::ResetWaiting, 10)],
    Some(LossCause::ChildForgotten),
    "THE KERNEL DEVIATES: it must migrate, but loses 200 of"
)]
#[case::by_the_server(
    &[(Outcome::Closed, 1)],
    Some(LossCause::Server),
    "the server closed them; its listeners migrate."
)]
#[case::refused(
    &[(Outcome::Refused, 1)],
    Some(LossCause::Unexplained),
    "THE KERNEL DEVIATES: it must migrate, but loses 20 of 10500 clients in 20 reloads (20 \
     refused): by nothing that is known to happen while a listener closes."
)]
#[case::of_two_kinds(
    &[(Outcome::ResetWaiting, 1), (Outcome::TimedOutWaiting, 1)],
    Some(LossCause::Unexplained),
    "20 by children that are made while their listener closes, which migration does not cover and \
     no counter of it tells of (child-forgotten); 20 by nothing that is known to happen while a \
     listener closes."
)]
fn a_loss_with_migration_on_has_a_cause(
    #[case] lost: &[(Outcome, u64)],
    #[case] cause: Option<LossCause>,
    #[case] words: &str,
) {
    let document = document(&with_on(lost));
    let [off, on] = &document.rows[..] else { panic!("two rows") };
    assert_eq!(off.causes, BTreeMap::new());
    assert_eq!(on.causes.values().sum::<u64>(), on.lost());
    assert_eq!(on.causes.keys().next_back().copied(), cause);
    let text = answer::text(&document, Some(1000), Style::PLAIN);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(words), "`{words}`: {text}");
}
