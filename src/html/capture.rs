//! Where captures are, seen from the page.

use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands for itself in a link's path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The directory of a file.
pub fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("."),
    }
}

/// The capture that a document names, if it is there: next to the document, with as much of
/// its path as exists there, since documents are moved together with their captures; else
/// where it was written.
pub fn find(document: &Path, capture: &str) -> Option<PathBuf> {
    let named = Path::new(capture);
    if named.extension().is_none_or(|extension| extension != "pcapng") {
        return None;
    }
    let parts: Vec<Component<'_>> =
        named.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let near = directory(document);
    let near = (0..parts.len()).map(|from| near.join(parts[from..].iter().collect::<PathBuf>()));
    near.chain([named.to_owned()]).find(|path| path.is_file())
}

/// A link from a page in the directory `place` to a file. Nothing if it does not exist, as with
/// a file that is gone.
pub fn link(place: &Path, file: &Path) -> Option<String> {
    let (place, file) = (place.canonicalize().ok()?, file.canonicalize().ok()?);
    let shared = place.components().zip(file.components()).take_while(|(a, b)| a == b).count();
    let up = place.components().skip(shared).map(|_| "..".to_owned());
    let down = file.components().skip(shared).map(|part| {
        let part = part.as_os_str().to_str()?;
        Some(utf8_percent_encode(part, PLAIN).to_string())
    });
    let parts: Option<Vec<String>> = up.map(Some).chain(down).collect();
    Some(parts?.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_capture_is_found_beside_its_document_wherever_both_are() {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        for directory in ["moved/6.1 #1", "page/deep", "elsewhere"] {
            fs::create_dir_all(path(directory)).expect("mkdir");
        }
        for file in ["moved/6.1 #1/a.pcapng", "elsewhere/b.pcapng", "moved/secret"] {
            fs::write(path(file), "").expect("written");
        }
        let document = path("moved/matrix.json");
        let found = find(&document, "/was/once/6.1 #1/a.pcapng").expect("next to the document");
        assert_eq!(found, path("moved/6.1 #1/a.pcapng"));
        let link = link(&path("page/deep"), &found).expect("a link");
        assert_eq!(link, "../../moved/6.1%20%231/a.pcapng");
        let absolute = path("elsewhere/b.pcapng");
        assert_eq!(find(&document, &absolute.display().to_string()), Some(absolute));
        for nothing in ["gone.pcapng", "secret", "../moved/secret", "", "javascript:alert(1)"] {
            assert_eq!(find(&document, nothing), None, "{nothing}");
        }
    }
}
