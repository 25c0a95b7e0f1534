//! The inputs that everything begins with: whole ones, as they are in use.

#[allow(dead_code, reason = "what only the tests of packages need")]
pub mod synthetic;

use explore::generate::Recipe;
use reload::catalogue;
use reload::server_file::EXAMPLE;
use synthetic::{
    AARCH64, RELEASE, X86_64, arch, bzimage, kernel, module, payload, rpm, uml, vmlinux, whole_deb,
};

/// Compressions of kernels and packages.
const COMPRESSIONS: [&str; 5] = ["gz", "xz", "lzma", "zst", "lz4"];

/// A run and a matrix, with every verdict and every end of a machine.
pub fn documents() -> Vec<Vec<u8>> {
    [
        &include_bytes!("../corpus/documents/run.json")[..],
        include_bytes!("../corpus/documents/matrix.json"),
    ]
    .map(Vec::from)
    .into()
}

/// Kernels in each form that can be booted.
pub fn images() -> Vec<Vec<u8>> {
    let images = COMPRESSIONS.map(|with| bzimage(&payload(with, &vmlinux(X86_64, true))));
    let others = [bzimage(b"BZh9, says bzip2"), vmlinux(AARCH64, true), uml()];
    images.into_iter().chain(others).collect()
}

/// A kernel with modules in each kind of package.
pub fn packages() -> Vec<Vec<u8>> {
    let at = |path: &str| format!("./lib/modules/{RELEASE}/{path}");
    let files = [
        (at("vmlinuz"), kernel()),
        (at("config"), b"CONFIG_INET=y\n".to_vec()),
        (at("kernel/net/netfilter/nf_tables.ko"), module(X86_64, "nfnetlink", RELEASE)),
        (at("kernel/net/netfilter/nfnetlink.ko"), module(X86_64, "", RELEASE)),
        (at("modules.builtin"), b"kernel/drivers/char/virtio_console.ko\n".to_vec()),
    ];
    let files: Vec<_> = files.iter().map(|(path, data)| (&**path, data.clone())).collect();
    let debs = ["", "gz", "xz", "zst"].map(whole_deb);
    let rpms = ["gz", "xz", "zst"].map(|with| rpm("kernel-core", &["dracut"], with, &files));
    let others = ["", "xz", "zst"].map(|with| arch(with, &files));
    debs.into_iter().chain(rpms).chain(others).collect()
}

/// Files of servers: with every key, and real ones.
pub fn servers() -> Vec<Vec<u8>> {
    let real = catalogue::all();
    let real = real.iter().filter_map(|strategy| catalogue::text(&strategy.id));
    [EXAMPLE].into_iter().chain(real).map(|text| text.as_bytes().to_vec()).collect()
}

/// Lists of known bugs: sockmig's own, and parts of it, which are read faster.
pub fn known() -> Vec<Vec<u8>> {
    let own = scenarios::judge::builtin::TEXT;
    let parts: Vec<&str> = own.split("\n[[bug]]").skip(1).take(4).collect();
    parts.iter().map(|part| format!("[[bug]]{part}").into_bytes()).chain([own.into()]).collect()
}

/// Captures of the quizzes and of Multipath TCP.
pub fn captures() -> Vec<Vec<u8>> {
    [
        &include_bytes!("../corpus/captures/quiz1.pcapng")[..],
        include_bytes!("../corpus/captures/quiz2.pcapng"),
        include_bytes!("../corpus/captures/mptcp.pcapng"),
    ]
    .map(Vec::from)
    .into()
}

/// Histories as `explore` makes them up, with waiting and without.
pub fn histories() -> Vec<Vec<u8>> {
    let recipe = Recipe { wait_every: 3, ..Recipe::default() };
    (1..=12).map(|number| recipe.history(number).to_string().into_bytes()).collect()
}
