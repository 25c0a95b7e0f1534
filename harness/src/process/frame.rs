//! Frames: how sockmig talks to another process of its own, through a pipe or the port of
//! a virtual machine.

use std::io::{self, IoSlice, Read, Write};

/// What every frame begins with. A port that says anything else is not ours.
const MAGIC: [u8; 4] = *b"SkMg";

/// Nothing that is sent is larger: a length beyond it was never written by us.
const LARGEST: usize = 256 << 20;

/// Magic, tag, and length as a little-endian number of 32 bits.
const HEAD: usize = MAGIC.len() + 1 + 4;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is, as the two sides agree.
    pub tag: u8,
    /// The message.
    pub payload: Vec<u8>,
}

/// What comes before a payload of this length.
fn head(tag: u8, payload: &[u8]) -> [u8; HEAD] {
    let len = u32::try_from(payload.len()).expect("a message below 4 GiB");
    let mut head = [0; HEAD];
    head[..MAGIC.len()].copy_from_slice(&MAGIC);
    head[MAGIC.len()] = tag;
    head[MAGIC.len() + 1..].copy_from_slice(&len.to_le_bytes());
    head
}

/// Writes frames of these tags and payloads whole, with one call if there is room for it, and
/// without a copy of them.
///
/// # Errors
/// Those of `to`.
pub(crate) fn send_all(frames: &[(u8, &[u8])], to: &mut impl Write) -> io::Result<()> {
    let heads: Vec<[u8; HEAD]> = frames.iter().map(|(tag, payload)| head(*tag, payload)).collect();
    let parts = heads.iter().zip(frames).flat_map(|(head, (_, payload))| [&head[..], payload]);
    let mut parts: Vec<IoSlice<'_>> = parts.map(IoSlice::new).collect();
    let mut left = &mut parts[..];
    // Empty ones at the end would never be written.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match to.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

impl Frame {
    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        [&head(self.tag, &self.payload), self.payload.as_slice()].concat()
    }

    /// Writes it whole.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn send(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.encode())?;
        to.flush()
    }
}

/// What arrived is not a frame: its first bytes, made readable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a message of sockmig's: {0}")]
pub struct Garbage(pub String);

/// Gathers bytes and gives frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Takes what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` until its last byte has arrived.
    ///
    /// # Errors
    /// What arrived is no frame. Nothing that follows can be read.
    pub fn next_whole(&mut self) -> Result<Option<Frame>, Garbage> {
        let Some(len) = self.announced()? else { return Ok(None) };
        let Some(payload) = self.bytes.get(HEAD..HEAD + len) else { return Ok(None) };
        let frame = Frame { tag: self.bytes[MAGIC.len()], payload: payload.to_vec() };
        self.bytes.drain(..HEAD + len);
        Ok(Some(frame))
    }

    /// The length of the payload that is arriving, once its head is here.
    fn announced(&self) -> Result<Option<usize>, Garbage> {
        let begun = self.bytes.len().min(MAGIC.len());
        if self.bytes[..begun] != MAGIC[..begun] {
            return Err(self.garbage());
        }
        let Some(head) = self.bytes.get(..HEAD) else { return Ok(None) };
        let len = u32::from_le_bytes([head[5], head[6], head[7], head[8]]) as usize;
        if len > LARGEST { Err(self.garbage()) } else { Ok(Some(len)) }
    }

    fn garbage(&self) -> Garbage {
        Garbage(self.bytes.escape_ascii().take(60).map(char::from).collect())
    }
}

/// Reads until there is a whole frame, with one call if it is short. What follows it stays in
/// `frames`.
///
/// # Errors
/// Those of `from`, its end among them, and what is no frame.
pub(crate) fn receive_with(frames: &mut Frames, from: &mut impl Read) -> io::Result<Frame> {
    let mut part = [0; 2048];
    loop {
        if let Some(frame) = frames.next_whole().map_err(io::Error::other)? {
            return Ok(frame);
        }
        match from.read(&mut part) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => frames.push(&part[..got]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Reads one frame from `from`, and nothing of what follows it.
///
/// # Errors
/// Those of `from`, its end among them, and what is no frame.
pub fn receive(from: &mut impl Read) -> io::Result<Frame> {
    let mut frames = Frames { bytes: vec![0; HEAD] };
    from.read_exact(&mut frames.bytes)?;
    let len = frames.announced().map_err(io::Error::other)?.unwrap_or_default();
    frames.bytes.resize(HEAD + len, 0);
    from.read_exact(&mut frames.bytes[HEAD..])?;
    let frame = frames.next_whole().map_err(io::Error::other)?;
    Ok(frame.expect("all of it is here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let sent = [
            Frame { tag: b'a', payload: vec![] },
            Frame { tag: 0, payload: b"SkMg inside".to_vec() },
            Frame { tag: 255, payload: vec![7; 3000] },
        ];
        let bytes: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
        for size in [1, 2, 7, 8, 4096] {
            let mut frames = Frames::default();
            let mut got = Vec::new();
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(frame) = frames.next_whole().expect("frames") {
                    got.push(frame);
                }
            }
            assert_eq!(got, sent, "in pieces of {size}");
        }
        let mut reader = bytes.as_slice();
        for frame in &sent {
            assert_eq!(receive(&mut reader).expect("a frame"), *frame);
        }
        assert!(receive(&mut reader).is_err(), "the end");
        let (mut frames, mut reader) = (Frames::default(), bytes.as_slice());
        for frame in &sent {
            assert_eq!(receive_with(&mut frames, &mut reader).expect("a frame"), *frame);
        }
        assert!(receive_with(&mut frames, &mut reader).is_err(), "the end");
        let mut at_once = Vec::new();
        let parts: Vec<(u8, &[u8])> = sent.iter().map(|f| (f.tag, f.payload.as_slice())).collect();
        send_all(&parts, &mut at_once).expect("memory");
        assert_eq!(at_once, bytes);
    }

    #[test]
    fn garbage_is_shown() {
        let mut frames = Frames::default();
        frames.push(b"Welcome to \x1b[1mLinux");
        let garbage = frames.next_whole().expect_err("no frame");
        assert!(garbage.to_string().contains("Welcome to \\x1b[1mLinux"), "{garbage}");
    }

    #[test]
    fn an_impossible_length_is_garbage() {
        let mut bytes = Frame { tag: 1, payload: vec![] }.encode();
        bytes[5..].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut frames = Frames::default();
        frames.push(&bytes);
        assert!(frames.next_whole().is_err());
    }

    proptest! {
        #[test]
        fn nothing_that_arrives_is_taken_for_more_than_it_is(bytes: Vec<u8>) {
            let mut frames = Frames::default();
            frames.push(&bytes);
            while let Ok(Some(frame)) = frames.next_whole() {
                prop_assert!(frame.payload.len() < bytes.len());
            }
        }
    }
}
