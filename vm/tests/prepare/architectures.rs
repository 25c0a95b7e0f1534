//! Kernels for other machines than x86_64.

use std::fs;

use rstest::rstest;
use vm::architecture::Architecture;
use vm::boot::bootable::Image;
use vm::boot::prepare::prepare;

use crate::synthetic::{
    AARCH64, RELEASE, S390, X86_64, arm64_image, arm64_zboot, compressed, deb, kernel, module,
    s390x_image,
};
use crate::{Sandbox, choice};

#[rstest]
#[case::plain(arm64_image())]
#[case::gzip(compressed("gz", &arm64_image()))]
#[case::zboot_gzip(arm64_zboot("gz"))]
#[case::zboot_zstd(arm64_zboot("zst"))]
#[case::zboot_xz(arm64_zboot("xz"))]
fn an_image_for_arm64_is_booted_as_it_is(#[case] file: Vec<u8>) {
    let sandbox = Sandbox::new();
    let path = sandbox.put("Image", &file);
    let bootable = sandbox.prepare(&path).expect("a kernel");
    assert_eq!(bootable.architecture, Architecture::Arm64);
    assert_eq!(bootable.release.as_deref(), Some(RELEASE), "from its first line");
    let Image::Plain(image) = &bootable.image else { panic!("{bootable:?}") };
    assert!(fs::read(image).expect("a file") == arm64_image());
    assert_eq!(sandbox.prepare(&path).expect("the same again"), bootable);
}

#[test]
fn a_bzimage_for_s390x_is_booted_as_it_is() {
    let sandbox = Sandbox::new();
    let bootable = sandbox.prepare(&sandbox.put("bzImage", &s390x_image())).expect("a kernel");
    assert_eq!(bootable.architecture, Architecture::S390x);
    assert_eq!(bootable.release.as_deref(), Some(RELEASE));
    let Image::Plain(image) = &bootable.image else { panic!("{bootable:?}") };
    assert!(fs::read(image).expect("a file") == s390x_image());
}

#[rstest]
#[case::arm64(Architecture::Arm64, arm64_zboot("zst"), AARCH64)]
#[case::s390x(Architecture::S390x, s390x_image(), S390)]
fn a_package_has_modules_of_its_architecture(
    #[case] architecture: Architecture,
    #[case] image: Vec<u8>,
    #[case] machine: u16,
) {
    let sandbox = Sandbox::new();
    let (boot, modules) =
        (format!("./boot/vmlinuz-{RELEASE}"), format!("./lib/modules/{RELEASE}/kernel"));
    let at = |name: &str| format!("{modules}/{name}.ko.xz");
    let package = |machine: u16| {
        let files = [
            (boot.clone(), image.clone()),
            (at("nf_tables"), compressed("xz", &module(machine, "libcrc32c", RELEASE))),
            (at("libcrc32c"), compressed("xz", &module(machine, "\0softdep=pre: crc32c", RELEASE))),
            (at("crc32c_generic"), compressed("xz", &module(machine, "", RELEASE))),
        ];
        let files: Vec<_> = files.iter().map(|(path, data)| (&**path, data.clone())).collect();
        deb("kmod", "xz", &files)
    };
    let bootable = sandbox.prepare(&sandbox.put("linux.deb", &package(machine)));
    let bootable = bootable.expect("a kernel");
    assert_eq!(bootable.architecture, architecture);
    let names: Vec<_> = bootable.modules.iter().map(|module| &*module.name).collect();
    assert_eq!(names, ["crc32c_generic", "libcrc32c", "nf_tables"], "what is asked for is there");

    let refused = sandbox.prepare(&sandbox.put("other.deb", &package(X86_64)));
    let refused = refused.expect_err("another architecture's modules").to_string();
    assert!(refused.ends_with(&format!(" is not for {architecture}")), "{refused}");
}

#[test]
fn a_build_s_image_is_found_in_its_tree() {
    for (path, image) in
        [("arch/arm64/boot/Image", arm64_image()), ("arch/s390/boot/bzImage", s390x_image())]
    {
        let sandbox = Sandbox::new();
        sandbox.put(".config", b"CONFIG_INET=y\n");
        sandbox.put(path, &image);
        let tree = sandbox.dir.path().to_owned();
        let bootable = prepare(&choice(&tree, None), &sandbox.cache, &mut |_| {});
        let bootable = bootable.expect("a kernel");
        assert!(matches!(bootable.image, Image::Plain(_)), "{bootable:?}");
        assert!(bootable.config.is_some(), "{path}: its configuration is that of the tree");
    }
}

/// Manifests of older versions say nothing of the architecture.
#[test]
fn a_kernel_that_was_prepared_before_is_for_x86_64() {
    let sandbox = Sandbox::new();
    let image = sandbox.put("bzImage", &kernel());
    let bootable = sandbox.prepare(&image).expect("a kernel");
    let manifest = bootable.kept_in.join("kernel.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let removed = json.as_object_mut().expect("a manifest").remove("architecture");
    assert_eq!(removed, Some("x86_64".into()));
    fs::write(&manifest, json.to_string()).expect("written");
    assert_eq!(sandbox.prepare(&image).expect("still good"), bootable);
}
