//! Directories of modules.

use vm::boot::bootable::Bootable;
use vm::boot::not_bootable::NotBootable;
use vm::boot::prepare::prepare;

use crate::synthetic::{AARCH64, RELEASE, X86_64, compressed, kernel, module};
use crate::{Sandbox, choice};

/// Prepares a kernel with modules: file name, machine, dependencies, release.
fn with(modules: &[(&str, u16, &str, &str)]) -> Result<Bootable, String> {
    let sandbox = Sandbox::new();
    let image = sandbox.put("bzImage", &kernel());
    for (file, machine, depends, release) in modules {
        let end = file.rsplit_once(".ko.").map_or("", |(_, end)| end);
        let bytes = compressed(end, &module(*machine, depends, release));
        sandbox.put(&format!("modules/{file}"), &bytes);
    }
    let dir = sandbox.dir.path().join("modules");
    let prepared = prepare(&choice(&image, Some(&dir)), &sandbox.cache, &mut |_| {});
    let shown = sandbox.dir.path().display().to_string();
    prepared.map_err(|error| error.to_string().replace(&shown, "/sandbox"))
}

#[test]
fn each_comes_after_what_it_needs() {
    let bootable = with(&[
        ("net/nf_tables.ko.zst", X86_64, "nfnetlink", RELEASE),
        ("net/nfnetlink.ko.gz", X86_64, "", RELEASE),
        ("net/nft_ct.ko.xz", X86_64, "nf-tables,nf_conntrack", RELEASE),
        ("net/nf-conntrack.ko", X86_64, "libcrc32c", RELEASE),
        ("lib/libcrc32c.ko", X86_64, "", RELEASE),
        ("lib/unwanted.ko", X86_64, "", RELEASE),
    ]);
    let bootable = bootable.expect("a kernel");
    let names: Vec<_> = bootable.modules.iter().map(|module| &*module.name).collect();
    assert_eq!(names, ["nfnetlink", "nf_tables", "libcrc32c", "nf_conntrack", "nft_ct"]);
}

#[test]
fn without_what_it_needs_a_module_is_left_out_with_its_other_needs() {
    let bootable = with(&[
        ("nft_ct.ko", X86_64, "nf_defrag_ipv4,nf_conntrack", RELEASE),
        ("nf_defrag_ipv4.ko", X86_64, "", RELEASE),
        ("veth.ko", X86_64, "", RELEASE),
    ]);
    let bootable = bootable.expect("a kernel");
    let names: Vec<_> = bootable.modules.iter().map(|module| &*module.name).collect();
    assert_eq!(names, ["veth"]);
    assert!(bootable.absent.contains(&"nft_ct".to_owned()));
}

#[test]
fn modules_that_need_each_other_do_not_go_on_forever() {
    let circle = with(&[("veth.ko", X86_64, "tun", RELEASE), ("tun.ko", X86_64, "veth", RELEASE)]);
    assert_eq!(circle.expect("a kernel").modules.len(), 2);
}

#[test]
fn modules_of_another_kernel_are_refused() {
    assert_eq!(
        with(&[("veth.ko", X86_64, "", "6.1.0-other")]).expect_err("refused"),
        "the module /sandbox/modules/veth.ko is for the kernel 6.1.0-other and not \
         6.12.86-synthetic; give the modules of this build"
    );
    assert_eq!(
        with(&[("veth.ko", AARCH64, "", RELEASE)]).expect_err("refused"),
        "the module /sandbox/modules/veth.ko is not for x86_64"
    );
}

#[test]
fn a_changed_module_is_seen() {
    let sandbox = Sandbox::new();
    let image = sandbox.put("bzImage", &kernel());
    let dir = sandbox.dir.path().join("modules");
    let prepare = || prepare(&choice(&image, Some(&dir)), &sandbox.cache, &mut |_| {});
    assert!(matches!(prepare(), Err(NotBootable::Modules { .. })), "there is no directory yet");
    sandbox.put("modules/veth.ko", &module(X86_64, "", RELEASE));
    let old = prepare().expect("a kernel");
    sandbox.put("modules/tun.ko", &module(X86_64, "", RELEASE));
    let new = prepare().expect("a kernel");
    assert_eq!((old.modules.len(), new.modules.len()), (1, 2));
}
