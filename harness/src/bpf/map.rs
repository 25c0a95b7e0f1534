//! Maps: what programs and the laboratory share.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::ids::kernel_name;
use super::syscall::{Map, MapKind};
use crate::error::{Context, Result};
use crate::guest;
use crate::socket::Recorded;
use crate::trace::{Act, ProgramMap};

pub(super) fn make(kind: MapKind, key: u32, value: u32, entries: u32) -> Result<Map> {
    Map::create(kind, (key, value), entries, kernel_name()?).call(|| {
        format!(
            "bpf(BPF_MAP_CREATE, {kind:?}, keys of {key} bytes, values of {value}, {entries} entries)"
        )
    })
}

pub(super) fn read_array(map: &Map, index: u32, value: &mut [u8]) -> Result<()> {
    map.look_up(&index.to_ne_bytes(), value)
        .call(|| format!("bpf(BPF_MAP_LOOKUP_ELEM, an array, {index})"))
}

/// What must be true of an index of a [`SockArray`] for a socket to be put there; the numbers
/// are those of `linux/bpf.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vacancy {
    /// Empty or taken (`BPF_ANY`).
    Any = 0,
    /// Empty (`BPF_NOEXIST`).
    Empty = 1,
    /// Taken (`BPF_EXIST`).
    Taken = 2,
}

/// Listeners that a program can select, by index (`BPF_MAP_TYPE_REUSEPORT_SOCKARRAY`).
pub struct SockArray(Map);

impl SockArray {
    /// An array of this size without sockets. Lookups give cookies.
    pub fn new(entries: u32) -> Result<Self> {
        Self::with_values(entries, 8)
    }

    /// One whose values have four bytes, in which the kernel looks nothing up.
    pub fn narrow(entries: u32) -> Result<Self> {
        Self::with_values(entries, 4)
    }

    /// A map of any connected or listening sockets (`BPF_MAP_TYPE_SOCKMAP`), from which a program can
    /// select, too.
    pub fn of_any_sockets(entries: u32) -> Result<Self> {
        make(MapKind::SockMap, 4, 4, entries).map(Self)
    }

    /// What the kernel says to an array with keys and values of so many bytes.
    ///
    /// # Errors
    /// EINVAL for keys of other than four bytes, values of other than four or eight, and no entries.
    pub fn answer(key_bytes: u32, value_bytes: u32, entries: u32) -> Result<io::Result<()>> {
        let sizes = (key_bytes, value_bytes);
        Ok(Map::create(MapKind::ReuseportSockArray, sizes, entries, kernel_name()?).map(drop))
    }

    fn with_values(entries: u32, value_bytes: u32) -> Result<Self> {
        let made = make(MapKind::ReuseportSockArray, 4, value_bytes, entries);
        // Nothing else takes memory there, and nothing limits it: the kernel that cannot make a few
        // entries is wrong.
        made.map(Self).map_err(guest::blaming_its_kernel)
    }

    /// Puts a socket at `index`, instead of the one that is there.
    ///
    /// # Errors
    /// EINVAL for a socket that does not listen or is in no group, EBUSY for one that is in
    /// an array already, E2BIG for an index after the last one.
    pub fn put(&self, index: u32, socket: &impl Recorded) -> io::Result<()> {
        self.put_if(Vacancy::Any, index, socket)
    }

    /// As [`SockArray::put`], if `index` is empty, or taken.
    ///
    /// # Errors
    /// As [`SockArray::put`]; EEXIST for a taken index that must be empty, ENOENT for an empty
    /// one that must be taken.
    pub fn put_if(&self, vacancy: Vacancy, index: u32, socket: &impl Recorded) -> io::Result<()> {
        let (array, listener) = (self.number(), socket.actor().to_string());
        let act = || Act::SetEntry { array, index, listener };
        socket.recorder().act(act, || self.update(vacancy, index, socket.as_fd()))
    }

    /// As [`SockArray::put`], for a socket that is not a lab's, without a record.
    ///
    /// # Errors
    /// As [`SockArray::put`].
    pub fn put_unrecorded(&self, index: u32, socket: impl AsFd) -> io::Result<()> {
        self.update(Vacancy::Any, index, socket.as_fd())
    }

    /// Puts what is not the number of a descriptor, without a record.
    ///
    /// # Errors
    /// EINVAL for a number that is no `int`, EBADF for one that is no open descriptor.
    pub fn put_number(&self, index: u32, number: u64) -> io::Result<()> {
        self.0.update(&index.to_ne_bytes(), &number.to_ne_bytes(), Vacancy::Any as u64)
    }

    fn update(&self, vacancy: Vacancy, index: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let descriptor = socket.as_raw_fd() as u32;
        let value = u64::from(descriptor).to_ne_bytes();
        let narrow = descriptor.to_ne_bytes();
        let value = if self.0.value_bytes() == 8 { &value[..] } else { &narrow[..] };
        self.0.update(&index.to_ne_bytes(), value, vacancy as u64)
    }

    /// Removes the socket at `index`.
    ///
    /// # Errors
    /// ENOENT when there is nothing.
    pub fn remove(&self, index: u32) -> io::Result<()> {
        self.0.delete(&index.to_ne_bytes())
    }

    /// As acts name it: the number of its descriptor.
    pub(crate) fn number(&self) -> u32 {
        self.descriptor().cast_unsigned()
    }

    /// The cookie of the socket at `index`.
    ///
    /// # Errors
    /// ENOENT when there is none, ENOSPC in a narrow array.
    pub fn cookie(&self, index: u32) -> io::Result<u64> {
        let mut value = [0; 8];
        self.0.look_up(&index.to_ne_bytes(), &mut value[..self.0.value_bytes()])?;
        Ok(u64::from_ne_bytes(value))
    }

    pub(super) fn recorded(&self) -> ProgramMap {
        self.0.recorded()
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.0.descriptor()
    }
}

/// Numbers that a program counts up or sets (`BPF_MAP_TYPE_ARRAY`).
pub struct Counts(Map);

impl Counts {
    /// An array of this size, all zeros.
    pub fn new(entries: u32) -> Result<Self> {
        make(MapKind::Array, 4, 8, entries).map(Self)
    }

    /// The number at `index`.
    pub fn get(&self, index: u32) -> Result<i64> {
        let mut value = [0; 8];
        read_array(&self.0, index, &mut value)?;
        Ok(i64::from_ne_bytes(value))
    }

    pub(super) fn recorded(&self) -> ProgramMap {
        self.0.recorded()
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.0.descriptor()
    }
}

/// The targets of listeners that close: for a listener's cookie, the index of its target in a
/// [`SockArray`] (`BPF_MAP_TYPE_HASH`).
pub struct MigrationTargets(Map);

impl MigrationTargets {
    /// An empty map that can hold this number of targets.
    pub fn new(entries: u32) -> Result<Self> {
        make(MapKind::Hash, 8, 4, entries).map(Self)
    }

    /// What the listener with `cookie` has goes to the one at `index` from now on.
    pub fn set(&self, cookie: u64, index: u32) -> Result<()> {
        self.0
            .update(&cookie.to_ne_bytes(), &index.to_ne_bytes(), Vacancy::Any as u64)
            .call(|| format!("bpf(BPF_MAP_UPDATE_ELEM, a hash, {cookie} to {index})"))
    }

    /// The listener with `cookie` has no target from now on.
    pub fn remove(&self, cookie: u64) -> Result<()> {
        self.0
            .delete(&cookie.to_ne_bytes())
            .call(|| format!("bpf(BPF_MAP_DELETE_ELEM, a hash, {cookie})"))
    }

    pub(super) fn recorded(&self) -> ProgramMap {
        self.0.recorded()
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.0.descriptor()
    }
}
