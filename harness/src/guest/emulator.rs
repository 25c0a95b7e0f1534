//! What emulated processors are known to do wrong, tried by a guest when it starts, so that it is
//! not blamed on the kernel.

/// The name of s390x's instruction for checksums: Vector Checksum.
pub const VECTOR_CHECKSUM: &str = "VCKSM";

/// What is wrong with the processor.
pub(super) fn faults() -> Vec<&'static str> {
    if vector_checksum_is_right() { vec![] } else { vec![VECTOR_CHECKSUM] }
}

/// Whether [`VECTOR_CHECKSUM`] adds as it should, if this processor has it.
#[cfg(target_arch = "s390x")]
fn vector_checksum_is_right() -> bool {
    /// `HWCAP_S390_VX` of the kernel's `asm/elf.h`.
    const HAS_VECTORS: u64 = 1 << 11;
    // SAFETY: a call with a number.
    let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP) };
    if capabilities & HAS_VECTORS == 0 {
        return true;
    }
    // Sums with every pattern of carries, each word four times as well.
    let words =
        [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0x0123_4567, 0xfedc_ba98];
    let mut tried = words.iter().flat_map(|a| words.iter().map(move |b| (*a, *b)));
    tried.all(|(a, b)| {
        [[a, a, a, a], [a, b, a, b], [b, a, a, b]].into_iter().all(|addends| {
            let first = a ^ b;
            vector_checksum(addends, first) == added_with_carries(addends, first)
        })
    })
}

/// The other architectures have no such instruction.
#[cfg(not(target_arch = "s390x"))]
fn vector_checksum_is_right() -> bool {
    true
}

/// The sum of `first` and the addends, to which each carry is added.
#[cfg(target_arch = "s390x")]
fn added_with_carries(addends: [u32; 4], first: u32) -> u32 {
    addends.into_iter().fold(first, |sum, addend| {
        let (sum, carry) = sum.overflowing_add(addend);
        sum + u32::from(carry)
    })
}

/// The same by the instruction.
#[cfg(target_arch = "s390x")]
fn vector_checksum(addends: [u32; 4], first: u32) -> u32 {
    // The second word of the third operand is where the sum begins, and that of the result is the
    // sum.
    let mut operands = [addends, [0, first, 0, 0], [0; 4]];
    // SAFETY: two vectors are loaded from the operands and one is stored there, and the processor
    // has vectors. As bytes, since an assembler for any s390x does not know them by name.
    unsafe {
        std::arch::asm!(
            ".byte 0xe7, 0x00, 0x10, 0x00, 0x00, 0x06", // vl %v0, 0(%r1)
            ".byte 0xe7, 0x10, 0x10, 0x10, 0x00, 0x06", // vl %v1, 16(%r1)
            ".byte 0xe7, 0x20, 0x10, 0x00, 0x00, 0x66", // vcksm %v2, %v0, %v1
            ".byte 0xe7, 0x20, 0x10, 0x20, 0x00, 0x0e", // vst %v2, 32(%r1)
            in("r1") operands.as_mut_ptr(),
            out("v0") _,
            out("v1") _,
            out("v2") _,
            options(nostack),
        );
    }
    operands[2][1]
}

#[cfg(test)]
mod tests {
    use super::faults;

    /// Whether an emulator of s390x has the fault, its guests are there to find out.
    #[test]
    fn other_processors_have_no_such_fault() {
        assert!(cfg!(target_arch = "s390x") || faults().is_empty());
    }
}
