//! What is refused, in which words.

use rstest::rstest;

use crate::Sandbox;
use crate::synthetic::{
    AARCH64, Elf, I386, X86_64, arm64_image, arm64_zboot, bzimage, compressed, deb, kernel,
    payload, vmlinux, whole_deb,
};

fn riscv_image() -> Vec<u8> {
    let mut image = vec![0; 4096];
    image[..2].copy_from_slice(b"MZ");
    image[48..53].copy_from_slice(b"RISCV");
    image
}

/// An EFI application that unpacks a kernel of RISC-V.
fn riscv_zboot() -> Vec<u8> {
    let mut image = arm64_zboot("zst");
    let payload = compressed("zst", &riscv_image());
    image.truncate(64);
    image[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image.extend(payload);
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

const NO_KERNEL: &str = "/sandbox/file is not a kernel: neither a bzImage, an Image for arm64 nor a vmlinux, a package \
     (.deb, .rpm, .pkg.tar.zst) or a UML binary";

#[rstest]
#[case::text(b"CONFIG_INET=y\n".repeat(200), NO_KERNEL)]
#[case::nothing(Vec::new(), NO_KERNEL)]
#[case::a_process(process(), NO_KERNEL)]
#[case::start_of_an_elf(b"\x7fELF".to_vec(), NO_KERNEL)]
#[case::riscv_image(
    riscv_image(),
    "/sandbox/file is a kernel for riscv; only those for x86_64, arm64 and s390x can be booted"
)]
#[case::riscv_zboot(
    riscv_zboot(),
    "/sandbox/file is a kernel for another architecture (an EFI zboot image); only those for \
     x86_64, arm64 and s390x can be booted"
)]
#[case::arm64_elf(
    vmlinux(AARCH64, false),
    "/sandbox/file is a vmlinux for arm64, which QEMU does not boot; give arch/arm64/boot/Image"
)]
#[case::cut_arm64_image(
    cut(arm64_image(), 1),
    "/sandbox/file is truncated: 8191 bytes of at least 8192; copy or build it again"
)]
#[case::cut_arm64_zboot(
    cut(arm64_zboot("zst"), 1),
    "/sandbox/file is truncated: 549 bytes of at least 550; copy or build it again"
)]
#[case::i386_elf(
    vmlinux(I386, true),
    "/sandbox/file is a kernel for i386; only those for x86_64, arm64 and s390x can be booted"
)]
#[case::i386_bzimage(
    i386_bzimage(),
    "/sandbox/file is a kernel for i386; only those for x86_64, arm64 and s390x can be booted"
)]
#[case::i386_inside(
    bzimage(&payload("xz", &vmlinux(I386, true))),
    "/sandbox/file is a kernel for i386; only those for x86_64, arm64 and s390x can be booted"
)]
#[case::no_entry(
    vmlinux(X86_64, false),
    "/sandbox/file has no PVH entry point, which QEMU needs; \
     give the bzImage, or build with CONFIG_PVH"
)]
#[case::lacking_size(
    lacking_size(),
    "/sandbox/file is damaged: 80335 bytes are in it and 5 should be; copy or build it again"
)]
#[case::no_archive(
    b"!<arch>\nrubbish".to_vec(),
    "the package /sandbox/file is truncated or damaged: it ends in the middle"
)]
#[case::no_data(
    b"!<arch>\n".to_vec(),
    "the package /sandbox/file is truncated or damaged: it has no data.tar"
)]
#[case::truncated_package(
    cut(whole_deb("xz"), 1000),
    "the package /sandbox/file is truncated or damaged: its last 1000 bytes are missing"
)]
#[case::empty_package(
    deb("dracut | initramfs-tools, linux-base-7.2.12 (= 7.2.12-1), linux-binary-7.2.12", "xz", &[]),
    "the package /sandbox/file holds no kernel; \
     the kernel is in linux-binary-7.2.12, on which it depends"
)]
#[case::package_of_something_else(
    deb("libc6", "xz", &[("./usr/bin/true", Vec::new())]),
    "the package /sandbox/file holds no kernel; give one with a vmlinuz in it"
)]
#[case::package_for_another_machine(
    deb("kmod", "xz", &[("./boot/vmlinuz-6.12", riscv_image())]),
    "/sandbox/file is a kernel for riscv; only those for x86_64, arm64 and s390x can be booted"
)]
fn refused_in_one_sentence(#[case] bytes: Vec<u8>, #[case] sentence: &str) {
    assert_eq!(refusal(&bytes), sentence);
}

#[test]
fn truncated_images_tell_how_much_is_there() {
    for whole in [kernel(), vmlinux(X86_64, true)] {
        let has = whole.len() / 2;
        let sentence = refusal(&cut(whole.clone(), whole.len() - has));
        let start = format!("/sandbox/file is truncated: {has} bytes of at least ");
        assert!(sentence.starts_with(&start), "{sentence}");
    }
    let sentence = refusal(&damaged());
    assert!(sentence.starts_with("/sandbox/file is damaged: "), "{sentence}");
    assert!(sentence.ends_with("; copy or build it again"), "{sentence}");
}

#[test]
fn a_compression_that_nobody_uses_is_named() {
    let sandbox = Sandbox::new();
    let mut bytes = deb("kmod", "", &[]);
    let at = bytes.windows(8).position(|part| part == b"data.tar").expect("a member");
    bytes[at..at + 12].copy_from_slice(b"data.tar.bz2");
    let path = sandbox.put("old.deb", &bytes);
    let sentence = sandbox.prepare(&path).expect_err("refused").to_string();
    assert!(
        sentence.ends_with(
            "old.deb holds an archive that is compressed in another way than gzip, xz or zstd, \
             which sockmig does not read; unpack it and name the vmlinuz in it"
        ),
        "{sentence}"
    );
}

fn refusal(bytes: &[u8]) -> String {
    let sandbox = Sandbox::new();
    let path = sandbox.put("file", bytes);
    let sentence = sandbox.prepare(&path).expect_err("refused").to_string();
    assert_eq!(sandbox.ready(), 0, "nothing is left");
    sentence.replace(&sandbox.dir.path().display().to_string(), "/sandbox")
}

/// A few bytes that unpack to many, as a package of gigabytes of zeros does.
#[rstest]
#[case::kernel("./boot/vmlinuz-6.1", 128 << 20, "unpacks to a bzImage of more than 128 MiB")]
#[case::config("./boot/config-6.1", 4 << 20, "a list of options or modules of more than 4 MiB")]
#[case::built_in("./lib/modules/6.1/modules.builtin", 4 << 20, "of more than 4 MiB, which is none")]
#[case::module("./lib/modules/6.1/tun.ko", 128 << 20, "unpacks to a module of more than 128 MiB")]
fn a_file_that_is_too_large_is_not_unpacked(
    #[case] name: &str,
    #[case] most: usize,
    #[case] words: &str,
) {
    let sandbox = Sandbox::new();
    let package = deb("", "gz", &[(name, vec![0; most + 1])]);
    assert!(package.len() < most / 100);
    let path = sandbox.put("linux.deb", &package);
    let error = sandbox.prepare(&path).expect_err("it is refused").to_string();
    assert!(error.contains(words), "{error}");
    assert_eq!(sandbox.ready(), 0, "nothing is left");
}
