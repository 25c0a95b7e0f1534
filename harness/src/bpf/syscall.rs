//! `bpf(2)` itself.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::instruction::Instruction;

/// The commands of `linux/bpf.h` that are used.
const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const PROG_LOAD: i32 = 5;
const OBJ_GET_INFO_BY_FD: i32 = 15;

/// `BPF_PROG_TYPE_SK_REUSEPORT`.
const SK_REUSEPORT: u32 = 21;

/// The length of names, a zero at the end included (`BPF_OBJ_NAME_LEN`).
pub(super) const NAME_BYTES: usize = 16;

/// A name as the kernel keeps it.
pub(super) type Name = [u8; NAME_BYTES];

/// The part of `union bpf_attr` that `BPF_MAP_CREATE` reads.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: Name,
}

/// The part for commands on one element.
#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The part that `BPF_PROG_LOAD` reads.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: Name,
    interface: u32,
    expected_attach_type: u32,
}

/// The part for commands on ids.
#[repr(C)]
struct Id {
    id: u32,
    next: u32,
    flags: u32,
}

/// The part that `BPF_OBJ_GET_INFO_BY_FD` reads.
#[repr(C)]
struct Info {
    descriptor: u32,
    len: u32,
    info: u64,
}

fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes are readable and writable for their size, and whoever fills
    // them in keeps what they point to alive, at lengths that the kernel is told.
    let done = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>())
    };
    Ok(Errno::result(done)? as i32)
}

/// For what the kernel reads.
fn address<T: ?Sized>(of: &T) -> u64 {
    std::ptr::from_ref(of).cast::<u8>() as u64
}

/// For what it writes.
fn room(into: &mut [u8]) -> u64 {
    into.as_mut_ptr() as u64
}

fn owned(descriptor: i32) -> OwnedFd {
    // SAFETY: the kernel has just made it, for nobody else.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Makes a map.
pub(super) fn create_map(
    kind: u32,
    (key_size, value_size): (u32, u32),
    max_entries: u32,
    name: Name,
) -> io::Result<OwnedFd> {
    let mut create =
        MapCreate { kind, key_size, value_size, max_entries, name, ..Default::default() };
    bpf(MAP_CREATE, &mut create).map(owned)
}

fn element(map: BorrowedFd<'_>, key: &[u8], value: u64) -> Element {
    Element { map: map.as_raw_fd() as u32, padding: 0, key: address(key), value, flags: 0 }
}

/// Reads an element into `value`, which is as long as the map's values are.
pub(super) fn look_up(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    bpf(MAP_LOOKUP_ELEM, &mut element(map, key, room(value))).map(drop)
}

/// Writes an element, under the condition that `flags` is the number of (`BPF_ANY`: none).
pub(super) fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
    let element = Element { flags, ..element(map, key, address(value)) };
    bpf(MAP_UPDATE_ELEM, &mut { element }).map(drop)
}

/// Deletes an element.
pub(super) fn delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    bpf(MAP_DELETE_ELEM, &mut element(map, key, 0)).map(drop)
}

/// Loads a program of type `SK_REUSEPORT`. What the verifier says of it goes into `log`,
/// unless that is empty.
pub(super) fn load(
    instructions: &[Instruction],
    expected_attach_type: u32,
    name: Name,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let license = c"Dual MIT/GPL";
    let mut load = ProgLoad {
        kind: SK_REUSEPORT,
        instruction_count: instructions.len() as u32,
        instructions: address(instructions),
        license: license.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log: if log.is_empty() { 0 } else { room(log) },
        name,
        expected_attach_type,
        ..Default::default()
    };
    bpf(PROG_LOAD, &mut load).map(owned)
}

/// The kinds of things that have ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Program,
    Map,
}

impl Kind {
    /// `BPF_*_GET_NEXT_ID` and `BPF_*_GET_FD_BY_ID`.
    const fn commands(self) -> (i32, i32) {
        match self {
            Self::Program => (11, 13),
            Self::Map => (12, 14),
        }
    }

    /// Where a name begins in what `BPF_OBJ_GET_INFO_BY_FD` writes.
    const fn name_offset(self) -> usize {
        match self {
            Self::Program => 64,
            Self::Map => 24,
        }
    }
}

/// The lowest id above `after`; `None` when there is none.
pub(super) fn next_id(kind: Kind, after: u32) -> io::Result<Option<u32>> {
    let mut id = Id { id: after, next: 0, flags: 0 };
    match bpf(kind.commands().0, &mut id) {
        Ok(_) => Ok(Some(id.next)),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The name of what has this id; `None` when that is gone.
pub(super) fn name_of(kind: Kind, id: u32) -> io::Result<Option<Name>> {
    let opened = match bpf(kind.commands().1, &mut Id { id, next: 0, flags: 0 }) {
        Ok(descriptor) => owned(descriptor),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut written = [0_u8; 128];
    let mut info = Info {
        descriptor: opened.as_raw_fd() as u32,
        len: written.len() as u32,
        info: room(&mut written),
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut info)?;
    let mut name = Name::default();
    name.copy_from_slice(&written[kind.name_offset()..][..NAME_BYTES]);
    Ok(Some(name))
}
