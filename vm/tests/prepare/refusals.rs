//! What is refused, in which words.

use rstest::rstest;

use crate::Desk;
use crate::synthetic::{
    AARCH64, Elf, I386, X86_64, bzimage, compressed, deb, kernel, payload, vmlinux, whole_deb,
};

fn aarch64_image() -> Vec<u8> {
    let mut image = vec![0; 4096];
    image[..2].copy_from_slice(b"MZ");
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

fn i386_bzimage() -> Vec<u8> {
    let mut image = kernel();
    image[0x236] = 0;
    image
}

fn cut(mut bytes: Vec<u8>, lost: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() - lost);
    bytes
}

fn damaged() -> Vec<u8> {
    let mut squeezed = compressed("xz", &vmlinux(X86_64, true));
    let middle = squeezed.len() / 2;
    squeezed[middle] ^= 1;
    bzimage(&squeezed)
}

fn lacking_size() -> Vec<u8> {
    let mut payload = compressed("zst", &vmlinux(X86_64, true));
    payload.extend(5_u32.to_le_bytes());
    bzimage(&payload)
}

fn process() -> Vec<u8> {
    let segments = vec![(1, 0x40_0000, vec![0x90; 100])];
    Elf { machine: X86_64, segments, sections: vec![(".text", Vec::new())] }.bytes()
}

const NO_KERNEL: &str =
    "/desk/file is not a kernel: neither a bzImage nor a vmlinux, a .deb or a UML binary";

#[rstest]
#[case::text(b"CONFIG_INET=y\n".repeat(200), NO_KERNEL)]
#[case::nothing(Vec::new(), NO_KERNEL)]
#[case::a_process(process(), NO_KERNEL)]
#[case::start_of_an_elf(b"\x7fELF".to_vec(), NO_KERNEL)]
#[case::aarch64_image(
    aarch64_image(),
    "/desk/file is a kernel for aarch64; only those for x86_64 can be booted"
)]
#[case::aarch64_elf(
    vmlinux(AARCH64, false),
    "/desk/file is a kernel for aarch64; only those for x86_64 can be booted"
)]
#[case::i386_elf(
    vmlinux(I386, true),
    "/desk/file is a kernel for i386; only those for x86_64 can be booted"
)]
#[case::i386_bzimage(
    i386_bzimage(),
    "/desk/file is a kernel for i386; only those for x86_64 can be booted"
)]
#[case::i386_inside(
    bzimage(&payload("xz", &vmlinux(I386, true))),
    "/desk/file is a kernel for i386; only those for x86_64 can be booted"
)]
#[case::no_entry(
    vmlinux(X86_64, false),
    "/desk/file has no PVH entry point, which QEMU needs; \
     give the bzImage, or build with CONFIG_PVH"
)]
#[case::lacking_size(
    lacking_size(),
    "/desk/file is damaged: 80335 bytes are in it and 5 should be; copy or build it again"
)]
#[case::no_archive(
    b"!<arch>\nrubbish".to_vec(),
    "the package /desk/file is truncated or damaged: it ends in the middle"
)]
#[case::no_data(
    b"!<arch>\n".to_vec(),
    "the package /desk/file is truncated or damaged: it has no data.tar"
)]
#[case::truncated_package(
    cut(whole_deb("xz"), 1000),
    "the package /desk/file is truncated or damaged: its last 1000 bytes are missing"
)]
#[case::empty_package(
    deb("dracut | initramfs-tools, linux-base-7.2.12 (= 7.2.12-1), linux-binary-7.2.12", "xz", &[]),
    "the package /desk/file holds no kernel; \
     the kernel is in linux-binary-7.2.12, on which it depends"
)]
#[case::package_of_something_else(
    deb("libc6", "xz", &[("./usr/bin/true", Vec::new())]),
    "the package /desk/file holds no kernel; give one with a vmlinuz in it"
)]
#[case::package_for_another_machine(
    deb("kmod", "xz", &[("./boot/vmlinuz-6.12", aarch64_image())]),
    "/desk/file is a kernel for aarch64; only those for x86_64 can be booted"
)]
fn told_in_one_sentence(#[case] bytes: Vec<u8>, #[case] told: &str) {
    assert_eq!(refusal(&bytes), told);
}

#[test]
fn truncated_images_tell_how_much_is_there() {
    for whole in [kernel(), vmlinux(X86_64, true)] {
        let has = whole.len() / 2;
        let told = refusal(&cut(whole.clone(), whole.len() - has));
        let start = format!("/desk/file is truncated: {has} bytes of at least ");
        assert!(told.starts_with(&start), "{told}");
    }
    let told = refusal(&damaged());
    assert!(told.starts_with("/desk/file is damaged: "), "{told}");
    assert!(told.ends_with("; copy or build it again"), "{told}");
}

#[test]
fn places_that_are_no_files() {
    let desk = Desk::new();
    let told = desk.prepare(desk.dir.path()).expect_err("a directory").to_string();
    assert!(
        told.ends_with(" is a directory; name the bzImage, vmlinux, .deb or UML binary in it"),
        "{told}"
    );
    let told = desk.prepare(&desk.dir.path().join("no")).expect_err("nothing").to_string();
    assert!(told.ends_with("/no cannot be read: No such file or directory (os error 2)"), "{told}");
    let told = desk.prepare("/dev/null".as_ref()).expect_err("a device").to_string();
    assert!(told.starts_with("/dev/null is not a kernel"), "{told}");
}

fn refusal(bytes: &[u8]) -> String {
    let desk = Desk::new();
    let path = desk.put("file", bytes);
    let told = desk.prepare(&path).expect_err("refused").to_string();
    assert_eq!(desk.ready(), 0, "nothing is left behind");
    told.replace(&desk.dir.path().display().to_string(), "/desk")
}
