//! Small kernels, modules and packages, made byte by byte.

use std::io::Write;

use lzma_rust2::{LzmaOptions, LzmaWriter, XzOptions, XzWriter};
use sha2::{Digest, Sha256};

pub const X86_64: u16 = 62;
pub const I386: u16 = 3;
pub const AARCH64: u16 = 183;
pub const S390: u16 = 22;

/// What `uname -r` of the synthetic kernel says.
pub const RELEASE: &str = "6.12.86-synthetic";

/// An ELF file: a segment a piece, then the sections.
pub struct Elf {
    pub machine: u16,
    /// Type, virtual address, content.
    pub segments: Vec<(u32, u64, Vec<u8>)>,
    /// Name, content.
    pub sections: Vec<(&'static str, Vec<u8>)>,
}

impl Elf {
    pub fn bytes(&self) -> Vec<u8> {
        // Of these machines one is big-endian.
        let big = self.machine == S390;
        let half = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let long = |n: u64| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let table = 64 + 56 * self.segments.len();
        let mut body = Vec::new();
        let mut headers = Vec::new();
        for (kind, address, data) in &self.segments {
            let at = (table + body.len()) as u64;
            headers.extend(word(*kind));
            headers.extend(word(5));
            let size = data.len() as u64;
            for field in [at, *address, *address, size, size, 4] {
                headers.extend(long(field));
            }
            body.extend(data);
        }
        let mut names = vec![0];
        let mut sections = vec![[0_u64; 4]];
        let all = self.sections.iter().map(|(name, data)| (*name, data.clone()));
        for (name, data) in all.chain([(".shstrtab", Vec::new())]) {
            let name_at = names.len() as u64;
            names.extend(name.bytes().chain([0]));
            let kind = if name == ".shstrtab" { 3 } else { 1 };
            let data = if name == ".shstrtab" { names.clone() } else { data };
            sections.push([name_at, kind, (table + body.len()) as u64, data.len() as u64]);
            body.extend(data);
        }
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        elf[5] += u8::from(big);
        elf.extend(half(2));
        elf.extend(half(self.machine));
        elf.extend(word(1));
        for field in [0x100_0000, 64, (table + body.len()) as u64] {
            elf.extend(long(field));
        }
        elf.extend(word(0));
        let last = sections.len() as u16 - 1;
        for field in [64, 56, self.segments.len() as u16, 64, last + 1, last] {
            elf.extend(half(field));
        }
        elf.extend(headers);
        elf.extend(body);
        for [name, kind, at, size] in sections {
            elf.extend(word(name as u32));
            elf.extend(word(kind as u32));
            for field in [0, 0, at, size, 0, 1, 0] {
                elf.extend(long(field));
            }
        }
        elf
    }
}

/// A `vmlinux`, with or without the entry point that QEMU needs.
pub fn vmlinux(machine: u16, pvh: bool) -> Vec<u8> {
    let kind: u32 = if pvh { 18 } else { 1 };
    let mut note = Vec::new();
    for field in [4, 4, kind] {
        note.extend(field.to_le_bytes());
    }
    note.extend(b"Xen\0\0\0\0\x01");
    let text: Vec<u8> = (0..20_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let segments = vec![(1, 0xffff_ffff_8100_0000, text), (4, 0, note)];
    Elf { machine, segments, sections: Vec::new() }.bytes()
}

/// A User-Mode Linux binary.
pub fn uml() -> Vec<u8> {
    let segments = vec![(1, 0x6000_0000, vec![0x90; 100])];
    Elf { machine: X86_64, segments, sections: vec![(".uml.setup.init", vec![0; 8])] }.bytes()
}

/// A module.
pub fn module(machine: u16, depends: &str, release: &str) -> Vec<u8> {
    let info = format!("license=GPL\0depends={depends}\0vermagic={release} SMP mod_unload \0");
    let sections = vec![(".modinfo", info.into_bytes())];
    Elf { machine, segments: Vec::new(), sections }.bytes()
}

/// A `bzImage` around a payload that already is compressed and has its size after it.
pub fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 1024 + 64];
    image[0x1f1] = 1;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    image[0x236] = 1;
    image[0x248..0x24c].copy_from_slice(&64_u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    let release = format!("{RELEASE} (root@build) #1 SMP\0");
    image[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
    image.extend(payload);
    image.resize(image.len().next_multiple_of(16), 0);
    let paragraphs = (image.len() as u32 - 1024) / 16;
    image[0x1f4..0x1f8].copy_from_slice(&paragraphs.to_le_bytes());
    image
}

/// An `Image` for arm64, which is an EFI application with one section.
pub fn arm64_image() -> Vec<u8> {
    let mut image = vec![0; 8192];
    image[..2].copy_from_slice(b"MZ");
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    image[0x3c..0x40].copy_from_slice(&0x40_u32.to_le_bytes());
    image[0x40..0x44].copy_from_slice(b"PE\0\0");
    image[0x46] = 1;
    // After the headers: the section's size in the file, and where it begins.
    image[0x58 + 16..0x58 + 20].copy_from_slice(&4096_u32.to_le_bytes());
    image[0x58 + 20..0x58 + 24].copy_from_slice(&4096_u32.to_le_bytes());
    let banner = format!("Linux version %s\0Linux version {RELEASE} (root@build) #1 SMP\0");
    image[4096..4096 + banner.len()].copy_from_slice(banner.as_bytes());
    image
}

/// An EFI application that unpacks an `Image`.
pub fn arm64_zboot(with: &str) -> Vec<u8> {
    let payload = compressed(with, &arm64_image());
    let mut image = vec![0; 64];
    image[..8].copy_from_slice(b"MZ\0\0zimg");
    image[8..12].copy_from_slice(&64_u32.to_le_bytes());
    image[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image.extend(payload);
    image
}

/// A `bzImage` for s390x.
pub fn s390x_image() -> Vec<u8> {
    let mut image = vec![0; 0x1_2000];
    image[0x1_0008..0x1_000e].copy_from_slice(b"S390EP");
    image[0x1_0428..0x1_0430].copy_from_slice(&0x1_1000_u64.to_be_bytes());
    let version = format!("{RELEASE} (root@build) #1 SMP\0");
    image[0x1_1000..0x1_1000 + version.len()].copy_from_slice(version.as_bytes());
    image
}

/// A `bzImage` with an entry point in it.
pub fn kernel() -> Vec<u8> {
    bzimage(&payload("zst", &vmlinux(X86_64, true)))
}

/// Compressed data with its size after it, as the kernel's build makes them.
pub fn payload(with: &str, data: &[u8]) -> Vec<u8> {
    let mut payload = compressed(with, data);
    if with != "gz" {
        payload.extend((data.len() as u32).to_le_bytes());
    }
    payload
}

pub fn compressed(with: &str, data: &[u8]) -> Vec<u8> {
    match with {
        "" => data.to_vec(),
        "gz" => {
            let level = flate2::Compression::default();
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(data).expect("memory");
            writer.finish().expect("memory")
        }
        "xz" => {
            let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).expect("xz");
            writer.write_all(data).expect("memory");
            writer.finish().expect("memory")
        }
        "lzma" => {
            let options = LzmaOptions::with_preset(1);
            let mut writer = LzmaWriter::new_use_header(Vec::new(), &options, None).expect("lzma");
            writer.write_all(data).expect("memory");
            writer.finish().expect("memory")
        }
        "zst" => {
            let level = ruzstd::encoding::CompressionLevel::Fastest;
            ruzstd::encoding::compress_to_vec(data, level)
        }
        "lz4" => {
            let mut all = vec![0x02, 0x21, 0x4c, 0x18];
            for block in data.chunks(1 << 15).map(lz4_flex::block::compress) {
                all.extend((block.len() as u32).to_le_bytes());
                all.extend(block);
            }
            all
        }
        other => panic!("no compression {other}"),
    }
}

fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, &data[..]).expect("memory");
    }
    tar.into_inner().expect("memory")
}

/// A Debian package of Debian's kernel, as far as its name says.
pub fn deb(depends: &str, with: &str, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    named_deb("linux-image-synthetic", depends, with, files)
}

/// A Debian package.
pub fn named_deb(package: &str, depends: &str, with: &str, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let control = format!("Package: {package}\nDepends: {depends}\n");
    let end = if with.is_empty() { String::new() } else { format!(".{with}") };
    let members = [
        ("debian-binary".to_owned(), b"2.0\n".to_vec()),
        ("control.tar.xz".into(), compressed("xz", &tar(&[("./control", control.into_bytes())]))),
        (format!("data.tar{end}"), compressed(with, &tar(files))),
    ];
    let mut deb = b"!<arch>\n".to_vec();
    for (name, data) in members {
        let size = data.len();
        deb.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100644).bytes(),
        );
        deb.extend(data);
        if size % 2 == 1 {
            deb.push(b'\n');
        }
    }
    deb
}

/// A package as Debian's are, until 6.18.
pub fn whole_deb(with: &str) -> Vec<u8> {
    let at = |path: &str| format!("./lib/modules/{RELEASE}/{path}");
    let nf_tables = compressed("xz", &module(X86_64, "nfnetlink", RELEASE));
    let files = [
        (format!("./boot/vmlinuz-{RELEASE}"), kernel()),
        (format!("./boot/config-{RELEASE}"), b"CONFIG_INET=y\n".to_vec()),
        (at("kernel/net/netfilter/nf_tables.ko.xz"), nf_tables),
        (at("kernel/net/netfilter/nfnetlink.ko"), module(X86_64, "", RELEASE)),
        (at("modules.builtin"), b"kernel/drivers/char/virtio_console.ko\n".to_vec()),
        ("./usr/share/doc/nothing".into(), b"nothing".to_vec()),
    ];
    let files: Vec<_> = files.iter().map(|(path, data)| (&**path, data.clone())).collect();
    deb("kmod", with, &files)
}

/// A tar archive with these files, compressed: an Arch package.
pub fn arch(with: &str, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    compressed(with, &tar(files))
}

/// An RPM package.
pub fn rpm(name: &str, requires: &[&str], with: &str, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    const INT32: u32 = 4;
    const STRING: u32 = 6;
    const STRING_ARRAY: u32 = 8;
    let payload = compressed(with, &cpio(files));
    let digest: String =
        Sha256::digest(&payload).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = |strings: &[&str]| strings.iter().flat_map(|s| s.bytes().chain([0])).collect();
    let entries: [(u32, u32, u32, Vec<u8>); 5] = [
        (1000, STRING, 1, text(&[name])),
        (1049, STRING_ARRAY, requires.len() as u32, text(requires)),
        (1124, STRING, 1, text(&["cpio"])),
        (5092, STRING_ARRAY, 1, text(&[&digest])),
        (5093, INT32, 1, 8_u32.to_be_bytes().into()),
    ];
    let mut rpm = vec![0; 96];
    rpm[..4].copy_from_slice(&[0xed, 0xab, 0xee, 0xdb]);
    // Thirteen bytes, so that padding follows.
    rpm.extend(rpm_header(&[(1004, 7, 13, vec![7; 13])]));
    rpm.extend([0; 3]);
    rpm.extend(rpm_header(&entries));
    rpm.extend(payload);
    rpm
}

/// A header of tags, types, counts and data.
fn rpm_header(entries: &[(u32, u32, u32, Vec<u8>)]) -> Vec<u8> {
    let (mut index, mut store) = (Vec::new(), Vec::<u8>::new());
    for (tag, kind, count, data) in entries {
        for field in [*tag, *kind, store.len() as u32, *count] {
            index.extend(field.to_be_bytes());
        }
        store.extend(data);
    }
    let mut header = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
    header.extend((entries.len() as u32).to_be_bytes());
    header.extend((store.len() as u32).to_be_bytes());
    header.extend(index);
    header.extend(store);
    header
}

/// A cpio archive, with a directory before the files.
fn cpio(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut cpio = Vec::new();
    let directory = [("./lib", 0o040_755, Vec::new())];
    let files = files.iter().map(|(name, data)| (*name, 0o100_644, data.clone()));
    for (name, mode, data) in directory.into_iter().chain(files).chain([("TRAILER!!!", 0, vec![])])
    {
        let mut head = String::from("070701");
        for field in [1, mode, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0] {
            head.push_str(&format!("{field:08x}"));
        }
        cpio.extend(head.bytes());
        cpio.extend(name.bytes().chain([0]));
        cpio.resize(cpio.len().next_multiple_of(4), 0);
        cpio.extend(data);
        cpio.resize(cpio.len().next_multiple_of(4), 0);
    }
    cpio
}
