//! Kernels in packages: in several that belong together, and in the formats of distributions.

use std::fs;
use std::path::PathBuf;

use rstest::rstest;
use vm::boot::bootable::Bootable;
use vm::boot::not_bootable::NotBootable;
use vm::boot::prepare::prepare;

use crate::synthetic::{
    RELEASE, X86_64, arch, compressed, deb, kernel, module, named_deb, rpm, vmlinux, whole_deb,
};
use crate::{Sandbox, choice, together};

type Files = Vec<(String, Vec<u8>)>;

fn borrowed(files: &Files) -> Vec<(&str, Vec<u8>)> {
    files.iter().map(|(path, data)| (&**path, data.clone())).collect()
}

/// What a package with modules has, below a directory of modules.
fn modules(below: &str, with: &str) -> Files {
    let end = if with.is_empty() { String::new() } else { format!(".{with}") };
    let at = |path: &str| format!("{below}/{RELEASE}/{path}");
    let of = |name: &str, depends: &str| {
        let file = at(&format!("kernel/net/{name}.ko{end}"));
        (file, compressed(with, &module(X86_64, depends, RELEASE)))
    };
    vec![
        of("inet_diag", ""),
        of("tcp_diag", "inet_diag"),
        (at("modules.builtin"), b"kernel/net/ipv6/ipv6.ko\n".to_vec()),
    ]
}

fn image(path: &str) -> (String, Vec<u8>) {
    (path.replace("RELEASE", RELEASE), kernel())
}

fn config(path: &str) -> (String, Vec<u8>) {
    (path.replace("RELEASE", RELEASE), b"CONFIG_INET_TCP_DIAG=m\n".to_vec())
}

/// The packages of a distribution, in its layout, compressed as it compresses.
fn packages_of(distribution: &str) -> Vec<(&'static str, Vec<u8>)> {
    match distribution {
        "ubuntu" => {
            let image = [image("./boot/vmlinuz-RELEASE")].to_vec();
            let depends = format!("kmod, linux-base, linux-modules-{RELEASE}");
            let name = format!("linux-image-unsigned-{RELEASE}");
            let mut others = modules("./lib/modules", "zst");
            others.push(config("./boot/config-RELEASE"));
            vec![
                ("linux-image+1_amd64.deb", named_deb(&name, &depends, "zst", &borrowed(&image))),
                ("linux-modules+1_amd64.deb", deb("wireless-regdb", "zst", &borrowed(&others))),
            ]
        }
        "fedora" => {
            let core = [
                image("./lib/modules/RELEASE/vmlinuz"),
                config("./lib/modules/RELEASE/config"),
                ("./lib/modules/6.12.86-synthetic/.vmlinuz.hmac".into(), b"hmac".to_vec()),
            ];
            let modules = modules("./lib/modules", "xz");
            vec![
                (
                    "kernel-core-1.x86_64.rpm",
                    rpm("kernel-core", &["dracut"], "zst", &borrowed(&core.to_vec())),
                ),
                (
                    "kernel-modules-core-1.x86_64.rpm",
                    rpm("kernel-modules-core", &[], "zst", &borrowed(&modules)),
                ),
            ]
        }
        "amazon" => {
            let mut all = modules("./lib/modules", "");
            all.push(image("./boot/vmlinuz-RELEASE"));
            all.push(config("./boot/config-RELEASE"));
            vec![("kernel-1.amzn2023.x86_64.rpm", rpm("kernel", &[], "gz", &borrowed(&all)))]
        }
        "suse" => {
            let mut all = modules("./usr/lib/modules", "zst");
            all.push(image("./usr/lib/modules/RELEASE/vmlinuz"));
            all.push(config("./usr/lib/modules/RELEASE/config"));
            vec![("kernel-default-1.x86_64.rpm", rpm("kernel-default", &[], "xz", &borrowed(&all)))]
        }
        "arch" => {
            let mut all = modules("usr/lib/modules", "zst");
            all.insert(0, (".PKGINFO".into(), b"pkgname = linux\n".to_vec()));
            all.push(image("usr/lib/modules/RELEASE/vmlinuz"));
            all.push(config("usr/lib/modules/RELEASE/config"));
            vec![("linux-1-x86_64.pkg.tar.zst", arch("zst", &borrowed(&all)))]
        }
        "make tar-pkg" => {
            let mut all = modules("lib/modules", "");
            all.push(image("boot/vmlinuz-RELEASE"));
            all.push(config("boot/config-RELEASE"));
            vec![("linux-x86.tar", arch("", &borrowed(&all)))]
        }
        other => panic!("no distribution {other}"),
    }
}

impl Sandbox {
    fn put_packages(&self, distribution: &str) -> Vec<PathBuf> {
        let packages = packages_of(distribution).into_iter();
        packages.map(|(name, bytes)| self.put(&format!("packages/{name}"), &bytes)).collect()
    }

    fn prepare_all(&self, files: &[PathBuf]) -> Result<Bootable, NotBootable> {
        let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
        prepare(&together(&files, None), &self.cache, &mut |_| {})
    }
}

fn assert_is_whole(bootable: &Bootable) {
    assert_eq!(bootable.release.as_deref(), Some(RELEASE));
    let modules: Vec<_> = bootable.modules.iter().map(|module| &*module.name).collect();
    assert_eq!(modules, ["inet_diag", "tcp_diag"]);
    assert_eq!(bootable.built_in, ["ipv6"]);
    let config = bootable.config.as_ref().expect("a configuration");
    assert_eq!(fs::read(config).expect("a file"), b"CONFIG_INET_TCP_DIAG=m\n");
    for module in &bootable.modules {
        assert!(fs::read(&module.path).expect("a module").starts_with(b"\x7fELF"), "decompressed");
    }
}

#[rstest]
fn packages_that_belong_together_are_one_kernel(
    #[values("ubuntu", "fedora", "amazon", "suse", "arch", "make tar-pkg")] distribution: &str,
) {
    let sandbox = Sandbox::new();
    let mut files = sandbox.put_packages(distribution);
    assert_is_whole(&sandbox.prepare_all(&files).expect("a kernel"));
    files.reverse();
    assert_is_whole(&sandbox.prepare_all(&files).expect("the order does not matter"));
}

#[rstest]
#[case::ubuntu("ubuntu")]
#[case::fedora("fedora")]
fn a_directory_has_them_all(#[case] distribution: &str) {
    let sandbox = Sandbox::new();
    let files = sandbox.put_packages(distribution);
    let dir = files[0].parent().expect("a directory");
    assert_is_whole(&sandbox.prepare(dir).expect("a kernel"));
}

#[rstest]
#[case::ubuntu("ubuntu", &["linux-modules-6.12.86-synthetic"])]
#[case::fedora("fedora", &["kernel-modules-core", "kernel-modules", "kernel-modules-extra"])]
fn an_image_alone_names_the_packages_with_its_modules(
    #[case] distribution: &str,
    #[case] packages: &[&str],
) {
    let sandbox = Sandbox::new();
    let files = sandbox.put_packages(distribution);
    let bootable = sandbox.prepare(&files[0]).expect("a kernel");
    let not_given = bootable.not_given();
    assert!(not_given.has("tcp_diag") && not_given.has("nf_tables"), "{not_given:?}");
    assert_eq!(not_given.packages, packages);
    // What is given is not named again.
    let whole = sandbox.prepare_all(&files).expect("a kernel").not_given();
    assert!(!whole.has("tcp_diag") && whole.has("nf_tables"), "{whole:?}");
}

#[test]
fn modules_may_be_in_packages_of_their_own() {
    let sandbox = Sandbox::new();
    let packages = sandbox.put_packages("ubuntu");
    let image = sandbox.put("bzImage", &kernel());
    let with = |modules: &std::path::Path| {
        prepare(&choice(&image, Some(modules)), &sandbox.cache, &mut |_| {})
    };
    assert_is_whole(&with(&packages[1]).expect("a kernel"));
    let sentence = with(&image).expect_err("refused").to_string();
    assert!(sentence.contains("bzImage has no modules: it is neither a directory"), "{sentence}");
    // An ELF does not say whose it is; packages with one kernel's modules are taken.
    let elf = sandbox.put("vmlinux", &vmlinux(X86_64, true));
    let of_elf = prepare(&choice(&elf, Some(&packages[1])), &sandbox.cache, &mut |_| {});
    assert_eq!(of_elf.expect("a kernel").modules.len(), 2);
}

fn refusal(files: &[(&str, Vec<u8>)]) -> String {
    let sandbox = Sandbox::new();
    let files: Vec<_> = files.iter().map(|(name, bytes)| sandbox.put(name, bytes)).collect();
    let sentence = sandbox.prepare_all(&files).expect_err("refused").to_string();
    assert_eq!(sandbox.ready(), 0, "nothing is left");
    sentence.replace(&sandbox.dir.path().display().to_string(), "/sandbox")
}

#[test]
fn packages_that_do_not_belong_together_are_refused() {
    let other = |path: &str| path.replace(RELEASE, "6.1.0-other");
    let modules: Files =
        modules("./lib/modules", "").into_iter().map(|(path, data)| (other(&path), data)).collect();
    let modules = deb("", "xz", &borrowed(&modules));
    assert_eq!(
        refusal(&[("a.deb", whole_deb("xz")), ("b.deb", modules.clone())]),
        "/sandbox/b.deb is for the kernel 6.1.0-other and not 6.12.86-synthetic; give the \
         packages of this kernel"
    );
    assert_eq!(
        refusal(&[("bzImage", kernel()), ("b.deb", modules.clone())]),
        "/sandbox/b.deb is for the kernel 6.1.0-other and not 6.12.86-synthetic; give the \
         packages of this kernel"
    );
    let second = deb("", "xz", &[("boot/vmlinuz-6.1.0-other", kernel())]);
    assert_eq!(
        refusal(&[("a.deb", whole_deb("xz")), ("b.deb", second)]),
        "/sandbox/a.deb holds 2 kernels (6.1.0-other, 6.12.86-synthetic); name the files of one \
         of them"
    );
    assert_eq!(
        refusal(&[("one", kernel()), ("two", kernel())]),
        "/sandbox/one and /sandbox/two are two kernels; one can have packages with it"
    );
    let meta = rpm("kernel", &["kernel-core-uname-r", "kernel-modules-uname-r"], "gz", &[]);
    assert_eq!(
        refusal(&[("kernel.rpm", meta.clone())]),
        "the package /sandbox/kernel.rpm holds no kernel; the kernel is in kernel-core, on which \
         it depends"
    );
    assert_eq!(
        refusal(&[("kernel.rpm", meta), ("modules.deb", modules)]),
        "the package /sandbox/kernel.rpm and 1 more hold no kernel; the kernel is in \
         kernel-core, on which they depend"
    );
}

#[test]
fn an_rpm_whose_archive_is_in_a_form_that_is_not_read_is_named() {
    let sandbox = Sandbox::new();
    let whole = rpm("kernel", &[], "", &[("./boot/vmlinuz-6", kernel())]);
    let magic = whole.windows(6).position(|part| part == b"070701").expect("an archive");
    let with = |magic_number: &[u8; 6]| {
        let mut bytes = whole.clone();
        bytes[magic..magic + 6].copy_from_slice(magic_number);
        sandbox.prepare(&sandbox.put("kernel.rpm", &bytes)).expect_err("refused").to_string()
    };
    let stripped = with(b"07070X");
    assert!(stripped.contains("holds an archive without names (rpm's format for"), "{stripped}");
    let other = with(b"BZh91A");
    assert!(other.contains("compressed in another way than gzip, xz or zstd"), "{other}");
}
