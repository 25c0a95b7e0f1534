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
