//! ELF files that might be kernels.

use object::Endianness;
use object::elf::{FileHeader64, Machine, PT_LOAD};
use object::read::ReadRef;
use object::read::elf::{FileHeader, ProgramHeader};

use crate::architecture::Architecture;
use crate::boot::no_kernel::NoKernel;

/// The note of the entry point that QEMU jumps to: `XEN_ELFNOTE_PHYS32_ENTRY`.
const PVH_NOTE: object::elf::NoteType = object::elf::NoteType(18);

/// A kernel's virtual addresses have the top bit; a process has no such address.
const KERNEL_HALF: u64 = 1 << 63;

/// Where an ELF header of either order has `e_machine`, and that it is big-endian.
const MACHINE: std::ops::Range<usize> = 18..20;
const DATA_ENCODING: usize = 5;
const BIG_ENDIAN: u8 = 2;

/// What an ELF file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElfKind {
    /// A kernel for x86_64 with the entry point that QEMU needs.
    Vmlinux,
    /// A kernel that is a process: User-Mode Linux.
    Uml,
}

/// Finds out what an ELF file is.
///
/// # Errors
/// It is nothing that can be booted.
pub(crate) fn identify<'data>(data: impl ReadRef<'data>) -> Result<ElfKind, NoKernel> {
    let ident: &[u8] =
        data.read_bytes_at(0, MACHINE.end as u64).map_err(|()| NoKernel::SomethingElse)?;
    let machine = [ident[MACHINE.start], ident[MACHINE.start + 1]];
    let machine = match ident[DATA_ENCODING] {
        BIG_ENDIAN => u16::from_be_bytes(machine),
        _ => u16::from_le_bytes(machine),
    };
    let instead = match Architecture::of_elf(Machine(machine)).map_err(NoKernel::Machine)? {
        Architecture::X86_64 => None,
        architecture @ Architecture::Arm64 => Some((architecture, "arch/arm64/boot/Image")),
        architecture @ Architecture::S390x => Some((architecture, "arch/s390/boot/bzImage")),
    };
    if let Some((architecture, instead)) = instead {
        return Err(NoKernel::OtherForm { architecture, instead });
    }
    let damaged = |e: object::read::Error| NoKernel::Damaged(e.to_string());
    let header = FileHeader64::<Endianness>::parse(data).map_err(damaged)?;
    let order = header.endian().map_err(damaged)?;
    let segments = header.program_headers(order, data).map_err(damaged)?;
    let loads = || segments.iter().filter(|segment| segment.p_type(order) == PT_LOAD);
    let needs = loads().map(|load| load.p_offset(order).saturating_add(load.p_filesz(order))).max();
    let has = data.len().map_err(|()| NoKernel::SomethingElse)?;
    if let Some(needs) = needs.filter(|needs| *needs > has) {
        return Err(NoKernel::Truncated { has, needs });
    }
    if loads().any(|load| load.p_vaddr(order) & KERNEL_HALF != 0) {
        for segment in segments {
            let Some(mut notes) = segment.notes(order, data).map_err(damaged)? else { continue };
            while let Some(note) = notes.next().map_err(damaged)? {
                if note.name() == b"Xen" && note.n_type(order) == PVH_NOTE {
                    return Ok(ElfKind::Vmlinux);
                }
            }
        }
        return Err(NoKernel::NoEntry);
    }
    let sections = header.sections(order, data).map_err(damaged)?;
    match sections.section_by_name(order, b".uml.setup.init") {
        Some(_) => Ok(ElfKind::Uml),
        None => Err(NoKernel::SomethingElse),
    }
}
