//! Packages and images that lost or changed bytes.

use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;
use vm::boot::bootable::{Bootable, Image};

use crate::Sandbox;
use crate::synthetic::{RELEASE, X86_64, kernel, rpm, vmlinux, whole_deb};

static DEBS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| ["gz", "xz", "zst"].map(whole_deb));

/// Whatever it is compressed with, the header of an RPM has the hash of its archive.
static RPMS: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| {
    let path = format!("./lib/modules/{RELEASE}/vmlinuz");
    ["gz", "xz", "zst"].map(|with| rpm("kernel-core", &["dracut"], with, &[(&path, kernel())]))
});

/// Whether something was made of it that is not the kernel that was in it.
fn gives_another(bootable: &Bootable) -> bool {
    match &bootable.image {
        Image::Pvh(path) => fs::read(path).expect("a file") != vmlinux(X86_64, true),
        Image::BzImage(path) => fs::read(path).expect("a file") != kernel(),
        Image::Plain(_) | Image::Uml(_) => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_truncated_package_is_refused(which in 0..3_usize, share in 0.0..1.0_f64) {
        let deb = &DEBS[which];
        let kept = (deb.len() as f64 * share) as usize;
        // The last byte may be there only to make the length even.
        let kept = kept.min(deb.len() - 2);
        let sandbox = Sandbox::new();
        let path = sandbox.put("linux.deb", &deb[..kept]);
        prop_assert!(sandbox.prepare(&path).is_err());
        prop_assert_eq!(sandbox.ready(), 0, "nothing is left");
    }

    #[test]
    fn a_damaged_package_gives_its_kernel_or_none(
        which in 0..2_usize, share in 0.0..1.0_f64, flip in 1..=255_u8,
    ) {
        let mut deb = DEBS[which].clone();
        let at = ((deb.len() - 1) as f64 * share) as usize;
        deb[at] ^= flip;
        let sandbox = Sandbox::new();
        let path = sandbox.put("linux.deb", &deb);
        if let Ok(bootable) = sandbox.prepare(&path) {
            prop_assert!(!gives_another(&bootable), "byte {at} ^ {flip}");
        }
    }

    #[test]
    fn a_truncated_rpm_is_refused(which in 0..3_usize, share in 0.0..1.0_f64) {
        let rpm = &RPMS[which];
        let sandbox = Sandbox::new();
        let path = sandbox.put("linux.rpm", &rpm[..((rpm.len() - 1) as f64 * share) as usize]);
        prop_assert!(sandbox.prepare(&path).is_err());
        prop_assert_eq!(sandbox.ready(), 0, "nothing is left");
    }

    #[test]
    fn a_damaged_rpm_gives_its_kernel_or_none(
        which in 0..3_usize, share in 0.0..1.0_f64, flip in 1..=255_u8,
    ) {
        let mut rpm = RPMS[which].clone();
        // Its headers are a small part of it, and damaged as often as the rest.
        let share = if share < 0.5 { share * 2.0 } else { (share * 2.0 - 1.0) * 0.02 };
        let at = ((rpm.len() - 1) as f64 * share) as usize;
        rpm[at] ^= flip;
        let sandbox = Sandbox::new();
        let path = sandbox.put("linux.rpm", &rpm);
        if let Ok(bootable) = sandbox.prepare(&path) {
            // Without the tag for the hash nobody can tell, if the archive were damaged too.
            prop_assert!(!gives_another(&bootable), "byte {at} ^ {flip}");
        }
    }

    #[test]
    fn a_truncated_bzimage_is_refused(share in 0.0..1.0_f64) {
        let kernel = kernel();
        let sandbox = Sandbox::new();
        let path = sandbox.put("bzImage", &kernel[..((kernel.len() - 1) as f64 * share) as usize]);
        prop_assert!(sandbox.prepare(&path).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(
        share in 0.0..1.0_f64, bytes in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        for mut image in [kernel(), vmlinux(X86_64, true)] {
            let at = ((image.len() - bytes.len()) as f64 * share * share * share) as usize;
            image[at..at + bytes.len()].copy_from_slice(&bytes);
            let sandbox = Sandbox::new();
            let path = sandbox.put("image", &image);
            let _ = sandbox.prepare(&path);
        }
    }
}
