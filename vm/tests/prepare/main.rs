//! From a file to a kernel that is ready, without a network and without a real kernel.

mod architectures;
mod damage;
mod modules;
mod packages;
mod places;
mod refusals;
mod synthetic;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use rstest::rstest;
use tempfile::TempDir;
use vm::boot::bootable::{Bootable, Image};
use vm::boot::in_use;
use vm::boot::not_bootable::NotBootable;
use vm::boot::own_kernels::KEPT;
use vm::boot::prepare::prepare;
use vm::boot::prune::prune;
use vm::fetch::cache::Cache;
use vm::fetch::choice::Choice;

use crate::synthetic::{RELEASE, X86_64, bzimage, kernel, payload, uml, vmlinux, whole_deb};

/// A cache, and a directory for the user's files.
struct Sandbox {
    dir: TempDir,
    cache: Cache,
}

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = Cache::at(&dir.path().join("cache")).expect("a cache");
        Self { dir, cache }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, bytes).expect("written");
        path
    }

    fn prepare(&self, image: &Path) -> Result<Bootable, NotBootable> {
        prepare(&choice(image, None), &self.cache, &mut |_| {})
    }

    fn ready(&self) -> usize {
        // The directory is made with the first of them.
        fs::read_dir(self.cache.ready()).map_or(0, Iterator::count)
    }
}

fn choice(image: &Path, modules: Option<&Path>) -> Choice {
    together(&[image], modules)
}

/// Files that are one kernel.
fn together(files: &[&Path], modules: Option<&Path>) -> Choice {
    Choice::Own {
        text: files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join("+"),
        files: files.iter().map(PathBuf::from).collect(),
        modules: modules.into_iter().map(PathBuf::from).collect(),
    }
}

#[rstest]
fn a_bzimage_gives_what_is_in_it(#[values("gz", "xz", "lzma", "zst", "lz4")] with: &str) {
    let sandbox = Sandbox::new();
    let inside = vmlinux(X86_64, true);
    let image = sandbox.put("bzImage", &bzimage(&payload(with, &inside)));
    let bootable = sandbox.prepare(&image).expect("a kernel");
    assert_eq!(bootable.release.as_deref(), Some(RELEASE));
    let Image::Pvh(path) = &bootable.image else { panic!("{bootable:?}") };
    assert!(fs::read(path).expect("a file") == inside);
    assert_eq!(sandbox.prepare(&image).expect("the same again"), bootable);
}

#[rstest]
#[case::without_an_entry(payload("xz", &vmlinux(X86_64, false)))]
#[case::compressed_in_an_unknown_way(b"BZh9, says bzip2".to_vec())]
fn some_boot_as_they_are(#[case] payload: Vec<u8>) {
    let sandbox = Sandbox::new();
    let image = sandbox.put("bzImage", &bzimage(&payload));
    let bootable = sandbox.prepare(&image).expect("a kernel");
    assert!(matches!(bootable.image, Image::BzImage(_)), "{bootable:?}");
}

#[test]
fn a_rebuilt_kernel_is_another_one() {
    let sandbox = Sandbox::new();
    let image = sandbox.put("bzImage", &kernel());
    let old = sandbox.prepare(&image).expect("a kernel");
    let mut inside = vmlinux(X86_64, true);
    *inside.last_mut().expect("bytes") ^= 1;
    sandbox.put("bzImage", &bzimage(&payload("zst", &inside)));
    let new = sandbox.prepare(&image).expect("a kernel");
    assert_ne!(old.image, new.image);
    let freed = prune(&sandbox.cache, false).expect("pruned");
    assert_eq!((freed.things, sandbox.ready()), (1, 1), "the old one goes");
    assert_eq!(sandbox.prepare(&image).expect("still there"), new);
}

#[test]
fn a_vmlinux_and_a_uml_binary_stay_where_they_are() {
    let sandbox = Sandbox::new();
    let image = sandbox.put("vmlinux", &vmlinux(X86_64, true));
    sandbox.put(".config", b"CONFIG_PVH=y\n");
    let bootable = sandbox.prepare(&image).expect("a kernel");
    assert_eq!(bootable.image, Image::Pvh(image));
    assert!(fs::read(bootable.config.expect("a config")).expect("a file").starts_with(b"CONFIG"));
    let image = sandbox.put("linux", &uml());
    assert_eq!(sandbox.prepare(&image).expect("a kernel").image, Image::Uml(image));
}

#[rstest]
fn a_package_gives_kernel_config_and_modules(#[values("", "gz", "xz", "zst")] with: &str) {
    let sandbox = Sandbox::new();
    let deb = sandbox.put("linux.deb", &whole_deb(with));
    let bootable = sandbox.prepare(&deb).expect("a kernel");
    let modules: Vec<_> = bootable.modules.iter().map(|module| &*module.name).collect();
    assert_eq!(modules, ["nfnetlink", "nf_tables"]);
    assert_eq!(bootable.built_in, ["virtio_console"]);
    assert!(bootable.absent.contains(&"veth".to_owned()), "{bootable:?}");
    let module = fs::read(&bootable.modules[1].path).expect("a module");
    assert!(module.starts_with(b"\x7fELF"), "decompressed");
    let config = fs::read_to_string(bootable.config.expect("a config"));
    assert_eq!(config.expect("a file"), "CONFIG_INET=y\n");
}

#[test]
fn what_a_killed_run_left_is_not_taken_for_a_kernel() {
    let sandbox = Sandbox::new();
    let image = sandbox.put("bzImage", &kernel());
    let bootable = sandbox.prepare(&image).expect("a kernel");
    let Image::Pvh(path) = &bootable.image else { panic!("{bootable:?}") };
    let place = path.parent().expect("a directory");

    fs::write(path, b"half").expect("written");
    assert_eq!(sandbox.prepare(&image).expect("made again"), bootable);
    assert!(fs::metadata(path).expect("a file").len() > 4);

    let name = place.file_name().expect("a name").to_str().expect("text");
    fs::rename(place, place.with_file_name(format!(".{name}.part"))).expect("renamed");
    assert_eq!(sandbox.prepare(&image).expect("made again"), bootable);
    assert_eq!(sandbox.ready(), 1, "the leftover is gone");

    fs::write(place.join("kernel.json"), b"{").expect("written");
    assert_eq!(sandbox.prepare(&image).expect("made again"), bootable);
}

#[test]
fn many_at_once_make_one() {
    let sandbox = Sandbox::new();
    let image = sandbox.put("linux.deb", &whole_deb("xz"));
    let made = thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| sandbox.prepare(&image))).collect();
        all.into_iter().map(|one| one.join().expect("no panic")).collect::<Result<Vec<_>, _>>()
    });
    let made = made.expect("kernels");
    assert!(made.iter().all(|one| *one == made[0]));
    assert_eq!(sandbox.ready(), 1);
}

#[test]
fn pruning_everything_leaves_nothing() {
    let sandbox = Sandbox::new();
    let image = sandbox.put("bzImage", &kernel());
    sandbox.prepare(&image).expect("a kernel");
    let stray = sandbox.cache.packages().join("linux-image-old_1_amd64.deb");
    fs::write(&stray, b"old").expect("written");
    let freed = prune(&sandbox.cache, false).expect("pruned");
    assert_eq!((freed.things, freed.bytes, freed.busy), (1, 3, 0));
    let lock = sandbox.cache.lock("6.1.174-1", &mut |_| {}).expect("a lock");
    let freed = prune(&sandbox.cache, true).expect("pruned");
    assert_eq!((freed.things, freed.busy), (1, 1));
    assert_eq!(sandbox.ready(), 0);
    drop(lock);
}

#[test]
fn a_kernel_whose_bytes_were_changed_is_prepared_again() {
    let sandbox = Sandbox::new();
    let deb = sandbox.put("linux.deb", &whole_deb("xz"));
    let bootable = sandbox.prepare(&deb).expect("a kernel");
    let Image::Pvh(image) = &bootable.image else { panic!("{bootable:?}") };
    let config = bootable.config.clone().expect("a config");
    for path in [image, &bootable.modules[0].path, &config] {
        let good = fs::read(path).expect("a file");
        let mut changed = good.clone();
        *changed.last_mut().expect("bytes") ^= 1;
        fs::write(path, &changed).expect("written");
        assert_eq!(sandbox.prepare(&deb).expect("made again"), bootable);
        assert!(fs::read(path).expect("a file") == good, "{} is as it was", path.display());
    }
    // Older manifests say nothing of the content.
    let manifest = bootable.kept_in.join("kernel.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["image"].as_object_mut().expect("a stamp").remove("sha256").expect("a hash");
    fs::write(&manifest, json.to_string()).expect("written");
    assert_eq!(sandbox.prepare(&deb).expect("made again"), bootable);
    assert_eq!(fs::read_to_string(&manifest).expect("a manifest"), text);
}

#[test]
fn of_the_users_own_kernels_those_that_were_used_last_stay() {
    let sandbox = Sandbox::new();
    let long_ago = |kernel: &Bootable, number: usize| {
        let manifest = fs::File::options().write(true).open(kernel.kept_in.join("kernel.json"));
        let when = SystemTime::UNIX_EPOCH + Duration::from_secs(1 + number as u64);
        manifest.expect("a manifest").set_modified(when).expect("a time");
    };
    let kernels: Vec<Bootable> = (0..KEPT)
        .map(|number| {
            let image = sandbox.put(&format!("{number}/bzImage"), &kernel());
            let kernel = sandbox.prepare(&image).expect("a kernel");
            long_ago(&kernel, number);
            kernel
        })
        .collect();
    assert_eq!(sandbox.ready(), KEPT);
    // The first is in use, and so the one that was used last, and stays whenever that was.
    in_use::hold(&kernels[0]);
    long_ago(&kernels[0], 0);
    for number in 0..2 {
        let image = sandbox.put(&format!("new/{number}/bzImage"), &kernel());
        sandbox.prepare(&image).expect("a kernel");
    }
    let stays: Vec<bool> = kernels.iter().map(|kernel| kernel.kept_in.exists()).collect();
    assert_eq!(stays[..4], [true, false, true, true]);
    assert_eq!(sandbox.ready(), KEPT + 1);
    let freed = prune(&sandbox.cache, true).expect("pruned");
    assert_eq!((freed.things, freed.busy), (KEPT, 1), "the one in use stays");
    assert!(kernels[0].kept_in.exists());
}
