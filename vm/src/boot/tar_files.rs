//! The files of a tar archive, whose names may be entries of their own.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use tar::{Archive, PaxExtensions};

use crate::boot::bounded::{self, Content};

/// Has each regular file of an archive visited, with its path. Long paths are read here, up to
/// a limit.
///
/// # Errors
/// The archive is damaged, or `visit` has an error.
pub fn visit<E: From<io::Error>>(
    archive: &mut Archive<impl Read>,
    mut visit: impl FnMut(&Path, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut long_path: Option<PathBuf> = None;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            let mut name = bounded::read(&mut entry, Content::Name)?;
            name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
            long_path = Some(path(name));
        } else if kind.is_pax_local_extensions() {
            let extensions = bounded::read(&mut entry, Content::Name)?;
            let mut extensions = PaxExtensions::new(&extensions).filter_map(Result::ok);
            let name = extensions.find(|extension| extension.key_bytes() == b"path");
            long_path = name.map(|name| path(name.value_bytes().to_owned())).or(long_path);
        } else if !kind.is_gnu_longlink() && !kind.is_pax_global_extensions() {
            let path = match long_path.take() {
                Some(path) => path,
                None => entry.path()?.into_owned(),
            };
            if kind.is_file() {
                visit(&path, &mut entry)?;
            }
        }
    }
    Ok(())
}

fn path(name: Vec<u8>) -> PathBuf {
    OsString::from_vec(name).into()
}

#[cfg(test)]
mod tests {
    use tar::{Builder, EntryType, Header};

    use super::*;

    fn files(archive: &[u8]) -> io::Result<Vec<(String, usize)>> {
        let mut found = vec![];
        visit(&mut Archive::new(archive), |path, content| {
            let mut bytes = vec![];
            content.read_to_end(&mut bytes)?;
            found.push((path.display().to_string(), bytes.len()));
            Ok::<(), io::Error>(())
        })?;
        Ok(found)
    }

    fn header(kind: EntryType, size: usize) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o644);
        header
    }

    #[test]
    fn long_paths_are_read_in_both_forms() {
        let long = "lib/modules/".to_owned() + &"a".repeat(150) + "/b.ko";
        let mut builder = Builder::new(vec![]);
        builder.append_data(&mut header(EntryType::Regular, 3), "short", &b"abc"[..]).expect("one");
        builder.append_data(&mut header(EntryType::Regular, 2), &long, &b"ab"[..]).expect("two");
        builder.append_pax_extensions([("path", long.as_bytes())]).expect("a name");
        builder.append_data(&mut header(EntryType::Regular, 1), "cut", &b"a"[..]).expect("three");
        let found = files(&builder.into_inner().expect("an archive")).expect("files");
        assert_eq!(found, [("short".into(), 3), (long.clone(), 2), (long, 1)]);
    }

    #[test]
    fn a_path_that_never_ends_is_left() {
        for kind in [EntryType::GNULongName, EntryType::XHeader] {
            let size = 2 * Content::Name.most() as usize;
            let mut builder = Builder::new(vec![]);
            let name = io::repeat(b'a').take(size as u64);
            builder.append_data(&mut header(kind, size), "long", name).expect("an entry");
            let archive = builder.into_inner().expect("an archive");
            let error = files(&archive).expect_err("it is too long");
            assert_eq!(error.to_string(), "a path of more than 64 KiB");
        }
    }
}
