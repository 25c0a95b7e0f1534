//! `bpf(2)` itself.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::instruction::Instruction;
use crate::error::returned_zero;
use crate::trace::ProgramMap;

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

/// A name as the kernel stores it.
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

/// # Safety
/// `attributes` is the part of `union bpf_attr` that `command` reads, without padding; and
/// each address in it is one of memory that stays and that the kernel may read, or write,
/// for as many bytes as it does by this command.
unsafe fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes are readable and writable for their size; what they point to is
    // the caller's.
    let done = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>())
    };
    // Its own errno may have no name outside of the kernel, and be lost with one.
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(done as i32) }
}

/// For what the kernel reads.
fn address<T>(of: &[T]) -> u64 {
    of.as_ptr() as u64
}

/// For what it writes.
fn room(into: &mut [u8]) -> u64 {
    into.as_mut_ptr() as u64
}

/// # Safety
/// `descriptor` is open, and nothing else closes it.
unsafe fn owned(descriptor: i32) -> OwnedFd {
    // SAFETY: the caller says so.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Types of maps, by their numbers in `linux/bpf.h`. In all of them a value is as long in
/// lookups as the map was made with; a type with a value for each CPU, whose lookups give all
/// of them, must not be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MapKind {
    Hash = 1,
    Array = 2,
    SockMap = 15,
    ReuseportSockArray = 20,
}

/// A map, and how long its keys and values are.
pub(super) struct Map {
    descriptor: OwnedFd,
    key_bytes: usize,
    value_bytes: usize,
    kind: u32,
    entries: u32,
}

impl Map {
    /// Makes one.
    pub(super) fn create(
        kind: MapKind,
        (key_size, value_size): (u32, u32),
        max_entries: u32,
        name: Name,
    ) -> io::Result<Self> {
        let kind = kind as u32;
        let mut create =
            MapCreate { kind, key_size, value_size, max_entries, name, ..Default::default() };
        // SAFETY: without padding, and there are no addresses in it.
        let made = unsafe { bpf(MAP_CREATE, &mut create) }?;
        Ok(Self {
            // SAFETY: the kernel has just opened it for this caller.
            descriptor: unsafe { owned(made) },
            key_bytes: key_size as usize,
            value_bytes: value_size as usize,
            kind,
            entries: max_entries,
        })
    }

    /// As acts have it.
    pub(super) fn recorded(&self) -> ProgramMap {
        ProgramMap {
            number: self.descriptor().cast_unsigned(),
            kind: self.kind,
            key: self.key_bytes as u32,
            value: self.value_bytes as u32,
            entries: self.entries,
        }
    }

    /// The number of its descriptor, for programs.
    pub(super) fn descriptor(&self) -> i32 {
        self.descriptor.as_raw_fd()
    }

    /// How many bytes a value has.
    pub(super) fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Reads an element into `value`.
    ///
    /// # Errors
    /// `InvalidInput` for a key or a value of another length than the map's, and what the
    /// kernel answers.
    pub(super) fn look_up(&self, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        Self::check("key", key.len(), self.key_bytes)?;
        Self::check("value", value.len(), self.value_bytes)?;
        let mut element = self.element(key, room(value));
        // SAFETY: without padding; the key and the value are as long as the map's.
        returned_zero(unsafe { bpf(MAP_LOOKUP_ELEM, &mut element) }?)
    }

    /// Writes an element, under the condition that `flags` is the number of (`BPF_ANY`: none).
    ///
    /// # Errors
    /// As [`Map::look_up`].
    pub(super) fn update(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        Self::check("key", key.len(), self.key_bytes)?;
        Self::check("value", value.len(), self.value_bytes)?;
        let mut element = Element { flags, ..self.element(key, address(value)) };
        // SAFETY: without padding; the key and the value are as long as the map's.
        returned_zero(unsafe { bpf(MAP_UPDATE_ELEM, &mut element) }?)
    }

    /// Deletes an element.
    ///
    /// # Errors
    /// As [`Map::look_up`].
    pub(super) fn delete(&self, key: &[u8]) -> io::Result<()> {
        Self::check("key", key.len(), self.key_bytes)?;
        let mut element = self.element(key, 0);
        // SAFETY: without padding; the key is as long as the map's.
        returned_zero(unsafe { bpf(MAP_DELETE_ELEM, &mut element) }?)
    }

    fn check(what: &str, given: usize, wanted: usize) -> io::Result<()> {
        if given == wanted {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a {what} of {given} bytes for a map whose {what}s have {wanted}"),
        ))
    }

    fn element(&self, key: &[u8], value: u64) -> Element {
        Element { map: self.descriptor() as u32, padding: 0, key: address(key), value, flags: 0 }
    }
}

/// Loads a program of type `SK_REUSEPORT`. The verifier writes what it finds to `log`, unless
/// that is empty.
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
    // SAFETY: without padding; the kernel reads as many instructions as are counted and the
    // license up to its zero, and writes to the log as many bytes as it has.
    let loaded = unsafe { bpf(PROG_LOAD, &mut load) }?;
    // SAFETY: the kernel has just opened it for this caller.
    Ok(unsafe { owned(loaded) })
}

/// The kinds of things that have ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Program,
    Map,
}

impl ObjectKind {
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
pub(super) fn next_id(kind: ObjectKind, after: u32) -> io::Result<Option<u32>> {
    let mut id = Id { id: after, next: 0, flags: 0 };
    // SAFETY: numbers, without padding, none of which is an address.
    match unsafe { bpf(kind.commands().0, &mut id) } {
        Ok(_) => Ok(Some(id.next)),
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// How many bytes are read of what the kernel knows of a program or a map.
const INFO_BYTES: usize = 128;

/// The name of what has this id; `None` when that is gone.
pub(super) fn name_of(kind: ObjectKind, id: u32) -> io::Result<Option<Name>> {
    let Some(written) = info_of(kind, id)? else { return Ok(None) };
    let mut name = Name::default();
    name.copy_from_slice(&written[kind.name_offset()..][..NAME_BYTES]);
    Ok(Some(name))
}

/// Whether a program is of type `SK_REUSEPORT`, and its name; `None` when it is gone.
pub(super) fn reuseport_program(id: u32) -> io::Result<Option<(bool, Name)>> {
    let Some(written) = info_of(ObjectKind::Program, id)? else { return Ok(None) };
    // The type comes first.
    let is_reuseport = written[..4] == SK_REUSEPORT.to_ne_bytes();
    let mut name = Name::default();
    name.copy_from_slice(&written[ObjectKind::Program.name_offset()..][..NAME_BYTES]);
    Ok(Some((is_reuseport, name)))
}

/// What the kernel knows of what has this id; `None` when that is gone.
fn info_of(kind: ObjectKind, id: u32) -> io::Result<Option<[u8; INFO_BYTES]>> {
    // SAFETY: numbers, without padding, none of which is an address.
    let opened = match unsafe { bpf(kind.commands().1, &mut Id { id, next: 0, flags: 0 }) } {
        // SAFETY: the kernel has just opened it for this caller.
        Ok(descriptor) => unsafe { owned(descriptor) },
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut written = [0_u8; INFO_BYTES];
    let mut info = Info {
        descriptor: opened.as_raw_fd() as u32,
        len: written.len() as u32,
        info: room(&mut written),
    };
    // SAFETY: without padding; the kernel writes no more bytes than the length says. It reads
    // the bytes first, for addresses of arrays to fill; zeros ask for none.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut info) }?;
    Ok(Some(written))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use rstest::rstest;

    /// The kernel is asked nothing: it would say that this is no map.
    fn map() -> Map {
        let descriptor = File::open("/dev/null").expect("/dev/null").into();
        Map { descriptor, key_bytes: 4, value_bytes: 8, kind: 2, entries: 1 }
    }

    #[rstest]
    #[case::short_key(3, 8, "a key of 3 bytes for a map whose keys have 4")]
    #[case::long_key(8, 8, "a key of 8 bytes for a map whose keys have 4")]
    #[case::short_value(4, 4, "a value of 4 bytes for a map whose values have 8")]
    #[case::long_value(4, 9, "a value of 9 bytes for a map whose values have 8")]
    fn other_lengths_than_the_map_has_are_refused(
        #[case] key: usize,
        #[case] value: usize,
        #[case] why: &str,
    ) {
        let (map, key, mut value) = (map(), vec![0; key], vec![0; value]);
        let refusals = [map.look_up(&key, &mut value), map.update(&key, &value, 0)];
        let of_key = (key.len() != 4).then(|| map.delete(&key));
        for refusal in refusals.into_iter().chain(of_key) {
            let refusal = refusal.expect_err("another length");
            assert_eq!(refusal.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(refusal.to_string(), why);
        }
    }

    #[test]
    fn the_lengths_of_the_map_reach_the_kernel() {
        let refusal = map().look_up(&[0; 4], &mut [0; 8]).expect_err("no map");
        assert!(refusal.raw_os_error().is_some(), "{refusal}");
    }

    #[test]
    fn layout_of_what_the_system_call_reads() {
        use crate::layout::of_kernel::assert_members;
        assert_members!(MapCreate, "union bpf_attr", {
            kind: "map_type", key_size: "key_size", value_size: "value_size",
            max_entries: "max_entries", flags: "map_flags", inner_map: "inner_map_fd",
            numa_node: "numa_node", name: "map_name",
        });
        assert_members!(Element, "union bpf_attr", {
            map: "map_fd", key: "key", value: "value", flags: "flags",
        });
        assert_members!(ProgLoad, "union bpf_attr", {
            kind: "prog_type", instruction_count: "insn_cnt", instructions: "insns",
            license: "license", log_level: "log_level", log_size: "log_size", log: "log_buf",
            kernel_version: "kern_version", flags: "prog_flags", name: "prog_name",
            interface: "prog_ifindex", expected_attach_type: "expected_attach_type",
        });
        assert_members!(Id, "union bpf_attr", {
            id: "prog_id", next: "next_id", flags: "open_flags",
        });
        assert_members!(super::Info, "union bpf_attr", {
            descriptor: "info.bpf_fd", len: "info.info_len", info: "info.info",
        });
    }

    #[test]
    fn layout_of_the_kernel_s_numbers() {
        use crate::layout::of_kernel::{constant, place};
        for (ours, name) in [
            (MAP_CREATE, "BPF_MAP_CREATE"),
            (MAP_LOOKUP_ELEM, "BPF_MAP_LOOKUP_ELEM"),
            (MAP_UPDATE_ELEM, "BPF_MAP_UPDATE_ELEM"),
            (MAP_DELETE_ELEM, "BPF_MAP_DELETE_ELEM"),
            (PROG_LOAD, "BPF_PROG_LOAD"),
            (OBJ_GET_INFO_BY_FD, "BPF_OBJ_GET_INFO_BY_FD"),
            (SK_REUSEPORT as i32, "BPF_PROG_TYPE_SK_REUSEPORT"),
            (NAME_BYTES as i32, "BPF_OBJ_NAME_LEN"),
            (MapKind::Hash as i32, "BPF_MAP_TYPE_HASH"),
            (MapKind::Array as i32, "BPF_MAP_TYPE_ARRAY"),
            (MapKind::ReuseportSockArray as i32, "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY"),
        ] {
            assert_eq!(i64::from(ours), constant(name), "{name}");
        }
        let names = [
            (ObjectKind::Program, "struct bpf_prog_info"),
            (ObjectKind::Map, "struct bpf_map_info"),
        ];
        for (kind, info) in names {
            assert_eq!((kind.name_offset(), NAME_BYTES), place(info, "name"));
        }
        assert_eq!(place("struct bpf_prog_info", "type"), (0, 4));
    }
}
