//! Where the kernel has things, as far as that differs between machines.

/// The mask of a C bit-field of one bit, of which `before` stand before it in a number of `width`
/// bits. They begin at the least significant bit on a little-endian machine, and at the most
/// significant one on a big-endian machine.
pub(crate) const fn bit_field(before: u32, width: u32) -> u32 {
    if cfg!(target_endian = "big") { 1 << (width - 1 - before) } else { 1 << before }
}

/// Which argument of the system call `clone` has the flags; the others may be zero, in whichever
/// order they are (`CONFIG_CLONE_BACKWARDS2` of the kernel, which s390 has).
pub(crate) const CLONE_FLAGS: usize = if cfg!(target_arch = "s390x") { 1 } else { 0 };

/// What `kernel-layouts.txt` says, for the tests of those who have structures and numbers of their
/// own for it.
#[cfg(test)]
pub(crate) mod of_kernel {
    const TABLE: &str = include_str!("../kernel-layouts.txt");

    /// What follows these words in the line that begins with them, but for the header's name.
    fn after(kind: &str, name: &str) -> Vec<&'static str> {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        let found = lines.filter_map(|line| {
            let (_, rest) = line.strip_prefix(kind)?.strip_prefix(' ')?.split_once(' ')?;
            rest.strip_prefix(name)?.strip_prefix(' ')
        });
        let mut found: Vec<_> = found.collect();
        let (Some(line), true) = (found.pop(), found.is_empty()) else {
            panic!("{kind} {name} stands there once")
        };
        line.split(' ').collect()
    }

    fn number(text: &str) -> i64 {
        text.parse().expect("a number")
    }

    /// How many bytes a structure has.
    pub(crate) fn size(structure: &str) -> usize {
        number(after("size", structure)[0]) as usize
    }

    /// Where a member of a structure begins.
    pub(crate) fn offset(structure: &str, member: &str) -> usize {
        number(after("member", &format!("{structure} {member}"))[0]) as usize
    }

    /// Where a member of a structure begins, and how many bytes it has.
    pub(crate) fn place(structure: &str, member: &str) -> (usize, usize) {
        let line = after("member", &format!("{structure} {member}"));
        (number(line[0]) as usize, number(line[1]) as usize)
    }

    /// Where the number is that a bit-field is in, and its mask in it.
    pub(crate) fn bit(structure: &str, field: &str) -> (usize, u32) {
        let line = after("bit", &format!("{structure} {field}"));
        let mask = super::bit_field(number(line[1]) as u32, number(line[2]) as u32);
        (number(line[0]) as usize, mask)
    }

    /// A number that has a name.
    pub(crate) fn constant(name: &str) -> i64 {
        number(after("constant", name)[0])
    }

    /// How many bytes what a reference leads to has, which is not read.
    pub(crate) const fn bytes_of<S, M>(_: fn(&S) -> &M) -> usize {
        size_of::<M>()
    }

    /// Compares members of a structure with the kernel's.
    macro_rules! assert_members {
        ($ours:ty, $theirs:literal, { $($member:ident: $name:literal),* $(,)? }) => {
            $(assert_eq!(
                (
                    std::mem::offset_of!($ours, $member),
                    $crate::layout::of_kernel::bytes_of(|all: &$ours| &all.$member),
                ),
                $crate::layout::of_kernel::place($theirs, $name),
                "{}.{}", $theirs, $name
            );)*
        };
    }
    pub(crate) use assert_members;
}

#[cfg(test)]
mod tests {
    use super::bit_field;

    #[test]
    fn layout_of_bit_fields_begins_where_the_machine_s_bytes_do() {
        // The first bit-field is in the first byte on every machine.
        let number = bit_field(0, u32::BITS).to_ne_bytes();
        assert_eq!(number[1..], [0, 0, 0]);
        assert_eq!(number[0], if cfg!(target_endian = "big") { 0x80 } else { 1 });
        let later = (bit_field(9, u16::BITS) as u16).to_ne_bytes();
        assert_eq!(later, [0, if cfg!(target_endian = "big") { 0x40 } else { 2 }]);
    }
}
