//! Kernels that are named by where they are: directories, trees, systems. And what is at a
//! path and no file.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rstest::rstest;
use vm::boot::bootable::{Bootable, Image};
use vm::boot::installed;
use vm::boot::no_kernel::NoKernel;
use vm::boot::prepare::prepare;

use crate::synthetic::{RELEASE, X86_64, kernel, module, vmlinux, whole_deb};
use crate::{Sandbox, choice};

impl Sandbox {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put_module(&self, path: &str, name: &str, release: &str) {
        self.put(&format!("{path}/{name}.ko"), &module(X86_64, "", release));
    }

    /// Why nothing can be made of a path.
    fn refusal_of(&self, path: &Path) -> String {
        self.prepare(path).expect_err("refused").to_string()
    }
}

fn module_names(bootable: &Bootable) -> Vec<&str> {
    bootable.modules.iter().map(|module| &*module.name).collect()
}

fn config_of(bootable: &Bootable) -> Option<String> {
    Some(fs::read_to_string(bootable.config.as_ref()?).expect("a file"))
}

/// Where distributions install the kernel and its modules: Debian 12, Ubuntu and Debian 13,
/// and Fedora, SUSE and Arch.
#[rstest]
#[case::debian("boot/vmlinuz-", "lib/modules", "boot/config-")]
#[case::debian_13("boot/vmlinuz-", "usr/lib/modules", "boot/config-")]
#[case::fedora("boot/vmlinuz-", "lib/modules", "in modules")]
#[case::arch("in modules", "usr/lib/modules", "in modules")]
#[case::suse("in modules", "usr/lib/modules", "boot/config-")]
fn an_image_finds_what_is_installed_with_it(
    #[case] image: &str,
    #[case] modules: &str,
    #[case] config: &str,
) {
    let sandbox = Sandbox::new();
    let at = |place: &str, name: &str| match place {
        "in modules" => format!("{modules}/{RELEASE}/{name}"),
        place => format!("{place}{RELEASE}"),
    };
    let image = sandbox.put(&at(image, "vmlinuz"), &kernel());
    sandbox.put(&at(config, "config"), b"CONFIG_TUN=m\n");
    sandbox.put_module(&format!("{modules}/{RELEASE}/kernel/drivers/net"), "tun", RELEASE);
    sandbox.put(&format!("{modules}/{RELEASE}/modules.builtin"), b"kernel/net/ipv6/ipv6.ko\n");
    // Another kernel is installed as well.
    sandbox.put("boot/config-5.10.0-other", b"CONFIG_TUN=y\n");
    sandbox.put_module(&format!("{modules}/5.10.0-other"), "veth", "5.10.0-other");

    let bootable = sandbox.prepare(&image).expect("a kernel");
    assert_eq!(module_names(&bootable), ["tun"]);
    assert_eq!(bootable.built_in, ["ipv6"]);
    assert_eq!(config_of(&bootable).as_deref(), Some("CONFIG_TUN=m\n"));

    assert_eq!(installed::image(sandbox.dir.path(), RELEASE), Ok(image));
    assert_eq!(installed::releases(sandbox.dir.path()), [RELEASE]);
}

#[test]
fn a_kernel_that_is_not_installed_is_told_with_those_that_are() {
    let sandbox = Sandbox::new();
    sandbox.put("boot/vmlinuz-6.1.0-1-amd64", b"");
    sandbox.put("usr/lib/modules/6.17.8-arch1-1/vmlinuz", b"");
    sandbox.put("usr/lib/modules/6.16.1-removed/modules.dep", b"");
    let error = installed::image(sandbox.dir.path(), "6.12").expect_err("not installed");
    let sentence = error.to_string().replace(&sandbox.dir.path().display().to_string(), "");
    assert_eq!(
        sentence,
        "the kernel 6.12 is not installed: neither /boot/vmlinuz-6.12 nor \
         /usr/lib/modules/6.12/vmlinuz is there; installed are 6.1.0-1-amd64, 6.17.8-arch1-1"
    );
    let empty = Sandbox::new();
    let sentence = installed::image(empty.dir.path(), "6.12").expect_err("empty").to_string();
    assert!(sentence.ends_with(" is there; no kernel is installed here"), "{sentence}");
}

/// A tree with a build in it, modules included.
fn build(sandbox: &Sandbox) {
    sandbox.put("tree/arch/x86/boot/bzImage", &kernel());
    sandbox.put("tree/vmlinux.o", b"");
    sandbox.put("tree/.config", b"CONFIG_TUN=m\n");
    sandbox
        .put("tree/modules.order", b"drivers/net/tun.o\nkernel/drivers/net/veth.ko\nnet/none.o\n");
    sandbox.put("tree/modules.builtin", b"kernel/net/ipv6/ipv6.ko\n");
    sandbox.put_module("tree/drivers/net", "tun", RELEASE);
    sandbox.put_module("tree/drivers/net", "veth", RELEASE);
    // Left from a configuration that had it.
    sandbox.put_module("tree/net/sched", "sch_netem", RELEASE);
    sandbox.put("tree/Module.symvers", b"");
}

fn set_age(path: &Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).expect("a file");
    let then = SystemTime::now() - Duration::from_secs(seconds);
    file.set_modified(then).expect("utimes");
}

#[rstest]
#[case::the_image("tree/arch/x86/boot/bzImage")]
#[case::the_tree("tree")]
fn a_build_is_used_with_its_modules_in_place(#[case] named: &str) {
    let sandbox = Sandbox::new();
    build(&sandbox);
    let bootable = sandbox.prepare(&sandbox.path(named)).expect("a kernel");
    assert_eq!(module_names(&bootable), ["veth", "tun"]);
    assert_eq!(bootable.built_in, ["ipv6"]);
    assert_eq!(config_of(&bootable).as_deref(), Some("CONFIG_TUN=m\n"));
}

#[test]
fn modules_of_an_earlier_build_are_left_alone() {
    let sandbox = Sandbox::new();
    build(&sandbox);
    let image = sandbox.path("tree/arch/x86/boot/bzImage");
    // `make bzImage` after `make`.
    set_age(&sandbox.path("tree/Module.symvers"), 60);
    let bootable = sandbox.prepare(&image).expect("a kernel");
    assert!(bootable.modules.is_empty(), "{bootable:?}");
    assert!(bootable.absent.contains(&"tun".to_owned()), "{bootable:?}");

    set_age(&sandbox.path("tree/vmlinux.o"), 120);
    sandbox.put_module("tree/drivers/net", "tun", "6.12.85-before");
    let bootable = sandbox.prepare(&image).expect("a kernel");
    assert_eq!(module_names(&bootable), ["veth"], "the other one is of another kernel");
}

#[test]
fn a_directory_is_looked_into() {
    let sandbox = Sandbox::new();
    sandbox.put("boot/vmlinuz-6.12", &kernel());
    let image = |path: &str| match sandbox.prepare(&sandbox.path(path)).expect("a kernel").image {
        Image::Pvh(path) => fs::read(path).expect("a file"),
        other => panic!("{other:?}"),
    };
    let inside = vmlinux(X86_64, true);
    assert!(image("boot") == inside, "/boot");
    assert!(image("") == inside, "a system, or an unpacked package");
    sandbox.put("packages/linux.deb", &whole_deb("xz"));
    sandbox.put("packages/linux.src.rpm", b"sources");
    sandbox.put("packages/SHA256SUMS", b"sums");
    assert!(image("packages") == inside);
    sandbox.put(&format!("modules/{RELEASE}/vmlinuz"), &kernel());
    assert!(image(&format!("modules/{RELEASE}")) == inside);

    sandbox.put("boot/vmlinuz-6.13", &kernel());
    let sentence = sandbox.refusal_of(&sandbox.path("boot"));
    let end = "boot holds 2 kernels (6.12, 6.13); name the files of one of them";
    assert!(sentence.ends_with(end), "{sentence}");
    sandbox.put("empty/readme", b"");
    let sentence = sandbox.refusal_of(&sandbox.path("empty"));
    assert!(sentence.contains("/empty is a directory without a kernel: "), "{sentence}");
}

/// What is no file is refused before it is opened: a pipe that nobody writes to would never
/// give a byte, and a device never end.
#[test]
fn what_is_no_file_is_refused_at_once() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).expect("mkfifo");
    let link = sandbox.path("link");
    symlink(&fifo, &link).expect("symlink");
    let socket = sandbox.path("socket");
    let _listener = UnixListener::bind(&socket).expect("bind");
    let image = sandbox.put("bzImage", &kernel());
    for (path, is) in [
        (&*fifo, "a named pipe"),
        (&link, "a named pipe"),
        (&socket, "a socket"),
        ("/dev/zero".as_ref(), "a device"),
        ("/dev/null".as_ref(), "a device"),
    ] {
        let expected =
            format!("{} is {is}, not a file; name a kernel, or a package with one", path.display());
        assert_eq!(sandbox.refusal_of(path), expected);
        let as_modules = prepare(&choice(&image, Some(path)), &sandbox.cache, &mut |_| {});
        assert_eq!(as_modules.expect_err("refused").to_string(), expected);
    }
    let sentence = sandbox.refusal_of(&sandbox.path("no"));
    let end = "/no cannot be read: No such file or directory";
    assert!(sentence.ends_with(end), "{sentence}");
}

#[test]
fn pipes_among_modules_and_packages_are_refused_or_left_alone() {
    let sandbox = Sandbox::new();
    let image = sandbox.put("bzImage", &kernel());
    sandbox.put_module("modules", "tun", RELEASE);
    let pipe = |name: &str| mkfifo(&sandbox.path(name), Mode::S_IRWXU).expect("mkfifo");
    pipe("modules/veth.ko");
    let modules = sandbox.path("modules");
    let with_modules = || prepare(&choice(&image, Some(&modules)), &sandbox.cache, &mut |_| {});
    assert_eq!(module_names(&with_modules().expect("a kernel")), ["tun"]);
    pipe("modules/modules.builtin");
    let sentence = with_modules().expect_err("refused").to_string();
    assert!(sentence.ends_with("modules: is a named pipe, not a file"), "{sentence}");

    fs::create_dir(sandbox.path("packages")).expect("mkdir");
    pipe("packages/linux.deb");
    let sentence = sandbox.refusal_of(&sandbox.path("packages"));
    assert!(sentence.contains("/packages/linux.deb is a named pipe, not a file"), "{sentence}");
}

#[test]
fn a_kernel_that_only_root_may_read_is_told_so() {
    let why = NoKernel::from(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
    let sentence = "may not be read by this user; run as root, or name a copy that may be read";
    assert_eq!(why.to_string(), sentence);
}
