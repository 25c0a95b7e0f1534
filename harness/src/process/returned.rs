//! What a lab returns, and how it travels through the result pipe.

use std::io::{self, Write};

use crate::error::Error;
use crate::process::broken::Broken;
use crate::process::frame::{self, Frame, Frames};

/// What a lab returns. It travels as data, never as an exit code or as text to scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Returned {
    /// The work's own result, serialized.
    pub data: Vec<u8>,
    /// The wire, as a pcapng file.
    pub pcapng: Vec<u8>,
}

impl Returned {
    /// A result whose data is `value` as JSON.
    pub fn json(value: &impl serde::Serialize, pcapng: Vec<u8>) -> Self {
        let data = serde_json::to_vec(value).expect("a result can be written as JSON");
        Self { data, pcapng }
    }

    /// Reads the data back.
    ///
    /// # Errors
    /// The data is not what [`Returned::json`] writes for a `T`.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> crate::Result<T> {
        serde_json::from_slice(&self.data)
            .map_err(|e| Error::unreadable("a lab's result", e.to_string()))
    }
}

/// Tags of the frames on the result pipe. The end has a frame of its own, because a process
/// that outlives the lab could keep the pipe open.
mod tag {
    pub const DATA: u8 = b'D';
    pub const PCAPNG: u8 = b'P';
    pub const BROKEN: u8 = b'B';
    pub const END: u8 = b'.';
}

/// What of a result has arrived.
#[derive(Default)]
pub(crate) struct ResultReader {
    frames: Frames,
    returned: Returned,
}

impl ResultReader {
    /// The result, when its end has come.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<Result<Returned, Broken>> {
        self.frames.push(bytes);
        let died = |how: String| Some(Err(Broken::Died { how, console: String::new() }));
        loop {
            let Frame { tag, payload } = match self.frames.next_whole() {
                Ok(frame) => frame?,
                Err(garbage) => return died(garbage.to_string()),
            };
            match tag {
                tag::DATA => self.returned.data = payload,
                tag::PCAPNG => self.returned.pcapng = payload,
                tag::BROKEN => {
                    return serde_json::from_slice(&payload)
                        .map_or_else(|e| died(e.to_string()), |broken| Some(Err(broken)));
                }
                tag::END => return Some(Ok(std::mem::take(&mut self.returned))),
                other => return died(format!("a frame with unknown tag {other}")),
            }
        }
    }
}

/// Writes what a lab returns.
///
/// # Errors
/// Those of `to`.
pub(crate) fn send(returned: &Result<Returned, Broken>, to: &mut impl Write) -> io::Result<()> {
    match returned {
        Ok(Returned { data, pcapng }) => frame::send_all(
            &[(tag::DATA, data.as_slice()), (tag::PCAPNG, pcapng), (tag::END, &[])],
            to,
        ),
        Err(why) => {
            let why = serde_json::to_vec(why).expect("a reason can be written as JSON");
            frame::send_all(&[(tag::BROKEN, &why)], to)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Context, Resource};
    use crate::process::no_namespaces::{NamespaceStep, NoNamespaces};

    fn sent_bytes(returned: &Result<Returned, Broken>) -> Vec<u8> {
        let mut bytes = Vec::new();
        send(returned, &mut bytes).expect("memory");
        bytes
    }

    #[test]
    fn a_result_is_nothing_until_it_is_whole() {
        let sent = Returned { data: b"{}".to_vec(), pcapng: vec![7; 300] };
        let bytes = sent_bytes(&Ok(sent.clone()));
        for cut in 0..bytes.len() {
            let mut reader = ResultReader::default();
            assert_eq!(reader.push(&bytes[..cut]), None, "cut at {cut}");
            assert_eq!(reader.push(&bytes[cut..]), Some(Ok(sent.clone())));
        }
    }

    #[test]
    fn a_failed_setup_is_reported_in_its_words() {
        let refused = |call: &str, errno: i32| {
            let answer = Err::<(), _>(io::Error::from_raw_os_error(errno));
            answer.made(|| call.into()).expect_err("it is refused")
        };
        let read = |why: &Broken| ResultReader::default().push(&sent_bytes(&Err(why.clone())));
        let why = refused("lo", libc::EPERM);
        let setup = Broken::at_setup(&why);
        assert_eq!(setup, Broken::Setup(why.to_string()));
        assert_eq!(read(&setup), Some(Err(setup)));
        let step = NamespaceStep::Make;
        let why = NoNamespaces { step, why: refused("unshare()", libc::EPERM).into() };
        let namespaces = Broken::Namespaces(why);
        assert_eq!(read(&namespaces), Some(Err(namespaces)));
        for (errno, of) in [
            (libc::EAGAIN, Resource::Processes),
            (libc::ENOSPC, Resource::Namespaces),
            (libc::ENOMEM, Resource::Memory),
            (libc::EMFILE, Resource::Descriptors),
        ] {
            let why = refused("fork()", errno);
            let lacking = Broken::Exhausted { of, call: why.to_string() };
            assert_eq!(Broken::at_setup(&why), lacking);
            assert_eq!(read(&lacking), Some(Err(lacking)));
        }
    }
}
