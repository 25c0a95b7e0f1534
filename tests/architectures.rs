//! Kernels of other architectures, as far as that can be tried without booting one.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rstest::rstest;
use tempfile::TempDir;

use crate::support::{Ended, run, sockmig};

/// Where `e_machine` is in an ELF file of this machine's order, and what it is for arm64.
const E_MACHINE: usize = 18;
const AARCH64: u16 = 183;

/// A directory with a kernel for arm64, in form at least, and a sockmig that says it is for arm64.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        let mut image = [0; 0x1000];
        image[0x38..0x3c].copy_from_slice(b"ARM\x64");
        fs::write(place.at("Image"), image).expect("written");
        let mut binary = fs::read(env!("CARGO_BIN_EXE_sockmig")).expect("this sockmig");
        binary[E_MACHINE..E_MACHINE + 2].copy_from_slice(&AARCH64.to_ne_bytes());
        fs::write(place.at("sockmig-arm64"), binary).expect("written");
        nix::unistd::mkfifo(&place.at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command here, with a cache of its own.
    fn run(&self, arguments: &[&str], path: Option<&Path>) -> Ended {
        let mut command = sockmig(arguments);
        command.current_dir(&self.0).env("SOCKMIG_CACHE", self.at("cache"));
        if let Some(path) = path {
            command.env("PATH", path);
        }
        run(&mut command)
    }
}

/// Sentences are laid out for the terminal.
fn flat(ended: &Ended) -> String {
    let text = format!("{}{}", ended.stdout, ended.stderr);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const OTHER: &str = "the kernel is for arm64 and this sockmig for x86_64; name one for arm64 with \
                     --guest-binary";
const OWN: &str = env!("CARGO_BIN_EXE_sockmig");

#[rstest]
#[case::no_guest_binary(&["matrix", "--arch", "arm64"], 2, OTHER)]
#[case::nor_for_one_kernel(&["matrix", "--kernel", "6.12.117-1:arm64"], 2, OTHER)]
#[case::nor_for_a_file(&["matrix", "--kernel", "./Image"], 69, OTHER)]
#[case::nor_for_a_program(&["vm-run", "--kernel", "6.12", "--", "./sockmig-arm64"], 69, OTHER)]
#[case::nor_to_explore(&["explore", "--kernel", "6.12.117-1:arm64", "--count", "1"], 69, OTHER)]
#[case::nor_to_replay(&["replay", "Image", "--kernel", "./Image"], 69, OTHER)]
#[case::nor_to_reload(&["reload", "--quick", "--kernel", "6.12.117-1:arm64"], 69, OTHER)]
#[case::for_no_kernel(
    &["explore", "--guest-binary", "./sockmig-arm64"],
    2,
    "the following required arguments were not provided: --kernel <KERNEL>"
)]
#[case::for_another_kernel(
    &["matrix", "--arch", "s390x", "--guest-binary", "./sockmig-arm64"],
    2,
    "the kernel is for s390x, and ./sockmig-arm64 for arm64"
)]
#[case::another_architecture_was_said(
    &["matrix", "--arch", "s390x", "--kernel", "./Image"],
    69,
    "./Image is a kernel for arm64, and --arch says s390x"
)]
#[case::no_binary(
    &["matrix", "--arch", "arm64", "--guest-binary", "./Image"],
    69,
    "./Image is not a program for x86_64 or arm64 or s390x"
)]
#[case::not_there(
    &["matrix", "--arch", "arm64", "--guest-binary", "./missing"],
    69,
    "./missing cannot be read: No such file"
)]
#[case::a_pipe(
    &["matrix", "--arch", "arm64", "--guest-binary", "./pipe"],
    69,
    "./pipe is not a program for x86_64 or arm64 or s390x"
)]
#[case::no_such_architecture(&["matrix", "--arch", "vax"], 2, "one of x86_64, arm64, s390x is needed")]
#[case::no_such_kernel(
    &["matrix", "--arch", "arm64", "--kernel", "5.10", "--guest-binary", "./sockmig-arm64"],
    2,
    "no kernel `5.10`: neither a file nor one of 6.1."
)]
#[case::a_program_for_another(
    &["vm-run", "--kernel", "./Image", "--guest-binary", "./sockmig-arm64", "--", OWN, "list"],
    69,
    "the kernel is for arm64, and"
)]
#[case::no_kvm(
    &["matrix", "--kernel", "./Image", "--guest-binary", "./sockmig-arm64", "--accel", "kvm"],
    69,
    "KVM runs no kernel for arm64 on x86_64; say --accel tcg"
)]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "its sentences are those of x86_64")]
fn what_does_not_fit_is_one_sentence(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] sentence: &str,
) {
    let ended = Place::new().run(arguments, None);
    assert_eq!(ended.code, Some(code), "{ended}");
    assert!(flat(&ended).contains(sentence), "`{sentence}`: {ended}");
}

#[test]
fn a_program_that_is_no_sockmig_of_this_version_is_refused() {
    let place = Place::new();
    let mut binary = fs::read(place.at("sockmig-arm64")).expect("a file");
    let identity = harness::guest::IDENTITY;
    let found = |bytes: &[u8]| bytes.windows(identity.len()).position(|part| part == identity);
    while let Some(at) = found(&binary) {
        binary[at] ^= 1;
    }
    fs::write(place.at("older"), binary).expect("written");
    let ended = place.run(&["matrix", "--arch", "arm64", "--guest-binary", "./older"], None);
    assert_eq!(ended.code, Some(69), "{ended}");
    assert!(flat(&ended).contains("./older is not a sockmig of this version ("), "{ended}");
}

#[test]
fn an_emulator_that_is_not_installed_is_named() {
    let place = Place::new();
    let arguments = ["matrix", "quiz1", "--kernel", "./Image", "--guest-binary", "./sockmig-arm64"];
    let ended = place.run(&arguments, Some(place.0.path()));
    assert_eq!(ended.code, Some(69), "{ended}");
    let sentence = "qemu-system-aarch64 is not installed: apt install qemu-system-arm";
    assert!(flat(&ended).contains(sentence), "{ended}");
}

/// In place of QEMU, a script that keeps its command line: what is booted, with which sockmig.
#[rstest]
#[case(&["matrix", "quiz1"])]
#[case(&["explore", "--count", "1"])]
#[case(&["replay", "Image"])]
#[case(&["reload", "--quick"])]
fn a_kernel_is_booted_on_its_machine_with_the_sockmig_that_was_named(#[case] command: &[&str]) {
    let place = Place::new();
    let script = format!(
        "#!/bin/sh\necho \"$*\" >{0}/line\n/bin/cp initramfs {0}/archive\n",
        place.0.path().display()
    );
    let qemu = place.at("qemu-system-aarch64");
    fs::write(&qemu, script).expect("written");
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).expect("chmod");
    symlink("/bin/sh", place.at("sh")).expect("a link");
    let arguments = [command, &["--kernel", "./Image", "--guest-binary", "./sockmig-arm64"]];
    let ended = place.run(&arguments.concat(), Some(place.0.path()));
    assert_eq!(ended.code, Some(69), "{ended}");
    let line = fs::read_to_string(place.at("line")).expect("the command line");
    assert!(line.contains("-M virt ") && line.contains("console=ttyAMA0"), "{line}");
    let archive = fs::read(place.at("archive")).expect("the archive");
    let binary = fs::read(place.at("sockmig-arm64")).expect("a file");
    let at = archive.windows(6).position(|part| part == b"\x7fELF\x02\x01").expect("a program");
    assert!(archive[at..].starts_with(&binary), "it is /init");
}

#[test]
fn the_kernels_of_an_architecture_are_listed() {
    let place = Place::new();
    let names = |architecture: &str| -> Vec<String> {
        let ended = place.run(&["kernels", "list", "--arch", architecture], None);
        assert_eq!(ended.code, Some(0), "{ended}");
        let lines = ended.stdout.lines().skip(1).take_while(|line| !line.is_empty());
        lines.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    assert!(names("arm64").iter().all(|name| name.contains(":arm64")));
    assert!(names("arm64").contains(&"6.12.117-1:arm64-16k".to_owned()));
    assert_eq!(names("arm64"), names("aarch64"));
    assert!(names("s390x").iter().all(|name| name.ends_with(":s390x")));
    assert!(names("amd64").iter().all(|name| !name.contains(':')));
}
