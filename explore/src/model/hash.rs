//! The hash of a connection's addresses and ports, as far as it is known: it decides which member
//! of a group gets a connection.

/// The hash as far as it matters to histories: which of [`SLOTS`] equal parts of its range it is
/// in.
pub type Slot = u8;

/// A number that every number of listeners up to six divides: the slot alone says which listener
/// of such a group the hash selects.
pub const SLOTS: usize = 60;

/// How many hashes there are.
const HASHES: u64 = 1 << 32;

/// The hashes that a connection may have: those from `from` up to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HashRange {
    from: u64,
    to: u64,
}

impl HashRange {
    /// Nothing is known.
    pub(super) const ANY: Self = Self { from: 0, to: HASHES };

    /// In the middle of a slot, which is as good as any of its hashes.
    pub(super) fn of_slot(slot: Slot) -> Self {
        let middle = (2 * u64::from(slot) + 1) * HASHES / (2 * SLOTS as u64);
        Self { from: middle, to: middle + 1 }
    }

    /// The members of a group that `reciprocal_scale()` may give: the first and the last of them,
    /// by their index.
    pub(super) fn members(self, of: usize) -> (usize, usize) {
        let scaled = |hash: u64| (hash * of as u64 / HASHES) as usize;
        (scaled(self.from), scaled(self.to - 1))
    }

    /// Whether nothing is known.
    pub(super) fn is_any(self) -> bool {
        self == Self::ANY
    }

    /// Those of the hashes that are in another range, too; nothing if none is.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        let both = Self { from: self.from.max(other.from), to: self.to.min(other.to) };
        (both.from < both.to).then_some(both)
    }

    /// The first slot all of whose hashes are in the range.
    pub(super) fn first_slot(self) -> Option<Slot> {
        let slots = SLOTS as u64;
        let slot = (self.from * slots).div_ceil(HASHES);
        let end = ((slot + 1) * HASHES).div_ceil(slots);
        (end <= self.to).then(|| Slot::try_from(slot).ok()).flatten()
    }

    /// Those of the hashes that give this member.
    pub(super) fn of_member(self, index: usize, of: usize) -> Self {
        let first = |index: usize| (index as u64 * HASHES).div_ceil(of as u64);
        Self { from: self.from.max(first(index)), to: self.to.min(first(index + 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_says_which_member_of_a_small_group_is_selected() {
        for of in 1..=6 {
            for slot in 0..SLOTS {
                let member = slot * of / SLOTS;
                assert_eq!(HashRange::of_slot(slot as Slot).members(of), (member, member));
            }
        }
    }

    #[test]
    fn a_slot_of_a_range_gives_the_member_that_the_range_gives() {
        for of in 1..=20 {
            for member in 0..of {
                let slot = HashRange::ANY.of_member(member, of).first_slot().expect("a slot");
                assert_eq!(HashRange::of_slot(slot).members(of), (member, member));
                let (first, next) = (usize::from(slot) * of, usize::from(slot + 1) * of);
                assert!(first >= member * SLOTS && next <= (member + 1) * SLOTS, "{slot} of {of}");
            }
        }
        let narrow = HashRange::ANY.of_member(3, 10).of_member(46, 150);
        assert_eq!(narrow.first_slot(), None);
        let (first, second) = (HashRange::ANY.of_member(0, 2), HashRange::ANY.of_member(1, 2));
        assert_eq!(first.and(second), None);
        assert_eq!(first.and(HashRange::ANY), Some(first));
    }

    #[test]
    fn what_is_known_of_a_hash_is_never_lost() {
        let first_of_two = HashRange::ANY.of_member(0, 2);
        assert_eq!(first_of_two.members(2), (0, 0));
        assert_eq!(first_of_two.members(3), (0, 1));
        let second_of_three = first_of_two.of_member(1, 3);
        assert_eq!(second_of_three.members(3), (1, 1));
        assert_eq!(second_of_three.members(2), (0, 0));
        assert_eq!(second_of_three.members(6), (2, 2));
    }
}
