//! What a lab returns, and how it travels through the result pipe.

use crate::process::broken::Broken;
use crate::process::frame::{Frame, Frames};

/// What a lab returns. It travels as data, never as an exit code or as text to scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Returned {
    /// The work's own result, serialized.
    pub data: Vec<u8>,
    /// The wire, as a pcapng file.
    pub pcapng: Vec<u8>,
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

/// What a lab writes when its work is done.
pub(crate) fn encode(returned: Returned) -> Vec<u8> {
    let mut bytes = frame(tag::DATA, returned.data);
    bytes.extend(frame(tag::PCAPNG, returned.pcapng));
    bytes.extend(frame(tag::END, vec![]));
    bytes
}

/// What a lab writes when its work could not begin.
pub(crate) fn encode_broken(why: &Broken) -> Vec<u8> {
    frame(tag::BROKEN, serde_json::to_vec(why).expect("a reason can be written as JSON"))
}

fn frame(tag: u8, payload: Vec<u8>) -> Vec<u8> {
    Frame { tag, payload }.encode()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::{Context, Resource};
    use crate::process::no_namespaces::{NamespaceStep, NoNamespaces};

    #[test]
    fn a_result_is_nothing_until_it_is_whole() {
        let sent = Returned { data: b"{}".to_vec(), pcapng: vec![7; 300] };
        let bytes = encode(sent.clone());
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
        let read = |why: &Broken| ResultReader::default().push(&encode_broken(why));
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
