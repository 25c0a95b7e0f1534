//! Maps: what programs and the laboratory share.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::ids::kernel_name;
use super::syscall::{create_map, delete, look_up, update};
use crate::error::{Context, Result};
use crate::socket::Recorded;
use crate::trace::Act;

/// Kinds of maps, by their numbers in `linux/bpf.h`.
#[derive(Debug, Clone, Copy)]
pub(super) enum MapKind {
    Hash = 1,
    Array = 2,
    ReuseportSockArray = 20,
}

pub(super) fn make(kind: MapKind, key: u32, value: u32, entries: u32) -> Result<OwnedFd> {
    create_map(kind as u32, (key, value), entries, kernel_name()?).call(|| {
        format!(
            "bpf(BPF_MAP_CREATE, {kind:?}, keys of {key} bytes, values of {value}, {entries} \
             entries)"
        )
    })
}

pub(super) fn read_array(map: BorrowedFd<'_>, index: u32, value: &mut [u8]) -> Result<()> {
    look_up(map, &index.to_ne_bytes(), value)
        .call(|| format!("bpf(BPF_MAP_LOOKUP_ELEM, an array, {index})"))
}

/// What the place in a register must be for a socket to be put there, by numbers in `linux/bpf.h`.
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
pub struct Register {
    map: OwnedFd,
    value_bytes: usize,
}

impl Register {
    /// A register with so many places, all empty. Lookups give cookies.
    pub fn new(places: u32) -> Result<Self> {
        Self::with_values(places, 8)
    }

    /// One whose values have four bytes, with which there are no lookups.
    pub fn narrow(places: u32) -> Result<Self> {
        Self::with_values(places, 4)
    }

    fn with_values(places: u32, value_bytes: usize) -> Result<Self> {
        let map = make(MapKind::ReuseportSockArray, 4, value_bytes as u32, places)?;
        Ok(Self { map, value_bytes })
    }

    /// Puts a socket at `index`, in the place of what is there.
    ///
    /// # Errors
    /// EINVAL for a socket that does not listen or is in no group, EBUSY for one that is in
    /// a register already, E2BIG for an index beyond the end.
    pub fn put(&self, index: u32, socket: &impl Recorded) -> io::Result<()> {
        self.put_if(Vacancy::Any, index, socket)
    }

    /// As [`Register::put`], if the place at `index` is empty, or taken.
    ///
    /// # Errors
    /// As [`Register::put`]; EEXIST for a taken place that was to be empty, ENOENT for an
    /// empty one that was to be taken.
    pub fn put_if(&self, vacancy: Vacancy, index: u32, socket: &impl Recorded) -> io::Result<()> {
        let act = || Act::SetEntry { index, listener: socket.actor().to_string() };
        socket.recorder().act(act, || self.update(vacancy, index, socket.as_fd()))
    }

    /// As [`Register::put`], for a socket that is no lab's: by its descriptor, and without a
    /// record.
    ///
    /// # Errors
    /// As [`Register::put`].
    pub fn put_unrecorded(&self, index: u32, socket: impl AsFd) -> io::Result<()> {
        self.update(Vacancy::Any, index, socket.as_fd())
    }

    fn update(&self, vacancy: Vacancy, index: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let descriptor = socket.as_raw_fd() as u32;
        let value = u64::from(descriptor).to_ne_bytes();
        let narrow = descriptor.to_ne_bytes();
        let value = if self.value_bytes == 8 { &value[..] } else { &narrow[..] };
        update(self.map.as_fd(), &index.to_ne_bytes(), value, vacancy as u64)
    }

    /// Takes out what is at `index`.
    ///
    /// # Errors
    /// ENOENT when there is nothing.
    pub fn take_out(&self, index: u32) -> io::Result<()> {
        delete(self.map.as_fd(), &index.to_ne_bytes())
    }

    /// The cookie of the socket at `index`.
    ///
    /// # Errors
    /// ENOENT when there is none, ENOSPC in a narrow register.
    pub fn cookie(&self, index: u32) -> io::Result<u64> {
        let mut value = [0; 8];
        look_up(self.map.as_fd(), &index.to_ne_bytes(), &mut value)?;
        Ok(u64::from_ne_bytes(value))
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.map.as_raw_fd()
    }
}

/// Numbers that a program counts up or sets (`BPF_MAP_TYPE_ARRAY`).
pub struct Counts(OwnedFd);

impl Counts {
    /// So many zeros.
    pub fn new(places: u32) -> Result<Self> {
        make(MapKind::Array, 4, 8, places).map(Self)
    }

    /// The number at `index`.
    pub fn get(&self, index: u32) -> Result<i64> {
        let mut value = [0; 8];
        read_array(self.0.as_fd(), index, &mut value)?;
        Ok(i64::from_ne_bytes(value))
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Who inherits from whom: for a listener's cookie, an index (`BPF_MAP_TYPE_HASH`).
pub struct Heirs(OwnedFd);

impl Heirs {
    /// None yet, with room for so many.
    pub fn new(room: u32) -> Result<Self> {
        make(MapKind::Hash, 8, 4, room).map(Self)
    }

    /// From now on, the listener with `cookie` leaves what it has to the one at `index`.
    pub fn set(&self, cookie: u64, index: u32) -> Result<()> {
        update(self.0.as_fd(), &cookie.to_ne_bytes(), &index.to_ne_bytes(), Vacancy::Any as u64)
            .call(|| format!("bpf(BPF_MAP_UPDATE_ELEM, a hash, {cookie} to {index})"))
    }

    /// From now on, it has no heir.
    pub fn remove(&self, cookie: u64) -> Result<()> {
        delete(self.0.as_fd(), &cookie.to_ne_bytes())
            .call(|| format!("bpf(BPF_MAP_DELETE_ELEM, a hash, {cookie})"))
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }
}
