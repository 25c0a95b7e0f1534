//! What two lists have in common, in their order.

/// How many entries of each list are held against each other at once. What is that far apart in
/// two long lists is not found to be the same.
const WINDOW: usize = 1000;

/// The positions of entries that are in both lists, in one row, and of those in one alone, from
/// the start to the end of both. As many as can be are in one row, up to the [`WINDOW`].
pub fn aligned<T: PartialEq>(left: &[T], right: &[T]) -> Vec<(Option<usize>, Option<usize>)> {
    let mut pairs = Vec::new();
    let (mut at_left, mut at_right) = (0, 0);
    while at_left < left.len() || at_right < right.len() {
        let same = left[at_left..].iter().zip(&right[at_right..]).take_while(|(l, r)| l == r);
        for _ in 0..same.count() {
            pairs.push((Some(at_left), Some(at_right)));
            (at_left, at_right) = (at_left + 1, at_right + 1);
        }
        let (rest_left, rest_right) = (&left[at_left..], &right[at_right..]);
        let from_left = &rest_left[..rest_left.len().min(WINDOW)];
        let from_right = &rest_right[..rest_right.len().min(WINDOW)];
        let mut found = longest_common(from_left, from_right);
        if from_left.len() < rest_left.len() || from_right.len() < rest_right.len() {
            keep_beginning(&mut found, from_left.len().max(from_right.len()) / 2);
        }
        let (mut taken_left, mut taken_right) = (0, 0);
        for (l, r) in found {
            taken_left += usize::from(l.is_some());
            taken_right += usize::from(r.is_some());
            pairs.push((l.map(|l| at_left + l), r.map(|r| at_right + r)));
        }
        (at_left, at_right) = (at_left + taken_left, at_right + taken_right);
    }
    pairs
}

/// What follows the last row of both is looked at again with what comes after it, if enough
/// comes before.
fn keep_beginning(found: &mut Vec<(Option<usize>, Option<usize>)>, enough: usize) {
    let of_both = |pair: &(Option<usize>, Option<usize>)| pair.0.is_some() && pair.1.is_some();
    if let Some(last) = found.iter().rposition(of_both).filter(|last| *last >= enough) {
        found.truncate(last + 1);
    }
}

/// The longest common subsequence of two lists, and what stands between.
fn longest_common<T: PartialEq>(left: &[T], right: &[T]) -> Vec<(Option<usize>, Option<usize>)> {
    // common[i][j]: how long it is from i and j on.
    let mut common = vec![vec![0_usize; right.len() + 1]; left.len() + 1];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            common[i][j] = match left[i] == right[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() && left[i] == right[j] {
            pairs.push((Some(i), Some(j)));
            (i, j) = (i + 1, j + 1);
        } else if j == right.len() || (i < left.len() && common[i + 1][j] >= common[i][j + 1]) {
            pairs.push((Some(i), None));
            i += 1;
        } else {
            pairs.push((None, Some(j)));
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many rows have both.
    fn common(pairs: &[(Option<usize>, Option<usize>)]) -> usize {
        pairs.iter().filter(|(left, right)| left.is_some() && right.is_some()).count()
    }

    #[test]
    fn long_lists_are_aligned_piece_by_piece() {
        let left: Vec<usize> = (0..20 * WINDOW).collect();
        // One is missing here and there.
        let right: Vec<usize> = left.iter().copied().filter(|entry| entry % 700 != 3).collect();
        let pairs = aligned(&left, &right);
        assert_eq!(common(&pairs), right.len());
        let other: Vec<usize> = left.iter().map(|entry| entry + left.len()).collect();
        assert_eq!(common(&aligned(&left, &other)), 0);
    }

    proptest! {
        #[test]
        fn every_entry_is_there_once_in_order_and_in_a_row_with_its_like(
            left in prop::collection::vec(0..3_u8, 0..20),
            right in prop::collection::vec(0..3_u8, 0..20),
        ) {
            let pairs = aligned(&left, &right);
            let lefts: Vec<usize> = pairs.iter().filter_map(|pair| pair.0).collect();
            let rights: Vec<usize> = pairs.iter().filter_map(|pair| pair.1).collect();
            prop_assert!(lefts.into_iter().eq(0..left.len()));
            prop_assert!(rights.into_iter().eq(0..right.len()));
            for (at_left, at_right) in &pairs {
                if let (Some(at_left), Some(at_right)) = (at_left, at_right) {
                    prop_assert_eq!(left[*at_left], right[*at_right]);
                }
            }
            prop_assert_eq!(common(&pairs), common(&longest_common(&left, &right)));
        }
    }
}
