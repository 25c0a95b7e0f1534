//! Kernels in the packages of distributions, made with the formats' own tools around a kernel
//! of Debian's, and kernels that are installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::kernels::Kernels;
use crate::matrix::{document, matrix};
use crate::support::{Ended, run, sockmig};
use crate::{Needs, Test};

pub const TESTS: &[Test] = &[
    ("packages/ubuntu", Needs::Tools(&[DPKG, ZSTD, XZ]), ubuntu),
    ("packages/an_image_without_its_modules", Needs::Tools(&[DPKG, ZSTD, XZ]), image_alone),
    ("packages/fedora", Needs::Tools(&[DPKG, RPM, XZ]), fedora),
    ("packages/suse", Needs::Tools(&[DPKG, RPM, ZSTD, XZ]), suse),
    ("packages/amazon", Needs::Tools(&[DPKG, RPM, XZ]), amazon),
    ("packages/arch", Needs::Tools(&[DPKG, BSDTAR, ZSTD, XZ]), arch),
    ("packages/a_build", Needs::Tools(&[DPKG, XZ]), build),
    ("packages/installed", Needs::Tools(&[DPKG, OVERLAY, XZ]), installed),
];

/// A program that a test needs, the package that has it, and what shows that it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    pub program: &'static str,
    pub package: &'static str,
    trial: &'static [&'static str],
}

const DPKG: Tool = Tool { program: "dpkg-deb", package: "dpkg", trial: &["--version"] };
const RPM: Tool = Tool { program: "rpmbuild", package: "rpm", trial: &["--version"] };
const BSDTAR: Tool = Tool { program: "bsdtar", package: "libarchive-tools", trial: &["--version"] };
const ZSTD: Tool = Tool { program: "zstd", package: "zstd", trial: &["--version"] };
const XZ: Tool = Tool { program: "xz", package: "xz-utils", trial: &["--version"] };
/// Another `/boot` and another `/usr/lib`, for one command.
const OVERLAY: Tool = Tool {
    program: "unshare",
    package: "util-linux, where users may mount overlays",
    trial: &[
        "-rm",
        "mount",
        "-t",
        "overlay",
        "-o",
        "lowerdir=/usr/lib:/usr/bin",
        "none",
        "/usr/lib",
    ],
};

impl Tool {
    /// Whether it can be used here.
    pub fn works(&self) -> bool {
        Command::new(self.program)
            .args(self.trial)
            .output()
            .is_ok_and(|ended| ended.status.success())
    }
}

/// Where a distribution puts the parts of a kernel, and how its modules are compressed.
struct Layout {
    image: &'static str,
    config: &'static str,
    modules: &'static str,
    compression: &'static str,
}

const UBUNTU: Layout = Layout {
    image: "boot/vmlinuz-RELEASE",
    config: "boot/config-RELEASE",
    modules: "lib/modules",
    compression: "zst",
};
const FEDORA: Layout = Layout {
    image: "lib/modules/RELEASE/vmlinuz",
    config: "lib/modules/RELEASE/config",
    modules: "lib/modules",
    compression: "xz",
};
const SUSE: Layout = Layout {
    image: "usr/lib/modules/RELEASE/vmlinuz",
    config: "usr/lib/modules/RELEASE/config",
    modules: "usr/lib/modules",
    compression: "zst",
};
const AMAZON: Layout = Layout {
    image: "boot/vmlinuz-RELEASE",
    config: "boot/config-RELEASE",
    modules: "lib/modules",
    compression: "",
};

/// A place to make packages in.
struct Workplace {
    dir: TempDir,
    /// `uname -r` of the kernel that is packed.
    release: String,
}

impl Workplace {
    /// Unpacks the newest kernel whose Debian packages are in the cache, with its modules.
    fn new(kernels: &Kernels) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for deb in kernels.debs().expect("they are needed") {
            did(Command::new("dpkg-deb").arg("-x").arg(deb).arg(dir.path().join("debian")));
        }
        let work = Self { dir, release: String::new() };
        let modules = work.debian_modules();
        let release = fs::read_dir(modules).expect("modules").next().expect("a release");
        let release = release.expect("readable").file_name().into_string().expect("text");
        Self { release, ..work }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.replace("RELEASE", &self.release))
    }

    fn debian_modules(&self) -> PathBuf {
        let places = ["debian/usr/lib/modules", "debian/lib/modules"].map(|path| self.at(path));
        places.into_iter().find(|place| place.is_dir()).expect("modules")
    }

    /// Puts the kernel and its modules into `stage` as a distribution does; of the modules
    /// those that a guest might load, and some more.
    fn stage(&self, stage: &str, layout: &Layout) {
        let debian = self.debian_modules().join(&self.release);
        let files = [
            (
                layout.image,
                [
                    self.at("debian/boot/vmlinuz-RELEASE"),
                    debian.join("vmlinuz"),
                    debian.join("vmlinuz.unsigned"),
                ]
                .to_vec(),
            ),
            (
                layout.config,
                [self.at("debian/boot/config-RELEASE"), debian.join("config")].to_vec(),
            ),
        ];
        for (to, from) in files {
            let from = from.into_iter().find(|path| path.is_file()).expect("a part of the kernel");
            let to = self.at(&format!("{stage}/{to}"));
            fs::create_dir_all(to.parent().expect("a directory")).expect("mkdir");
            fs::copy(from, to).expect("copied");
        }
        let modules = self.at(&format!("{stage}/{}/RELEASE", layout.modules));
        fs::create_dir_all(&modules).expect("mkdir");
        let compress = match layout.compression {
            "xz" => "find \"$2\" -name '*.ko' -exec xz -0 --check=crc32 {} +",
            "zst" => "find \"$2\" -name '*.ko' -exec zstd -q --rm -1 {} +",
            _ => "",
        };
        self.sh(
            &format!(
                "cd \"$1\"
                for part in kernel/net kernel/lib kernel/crypto kernel/drivers/virtio \
                    kernel/drivers/char kernel/drivers/net/tun.* kernel/drivers/net/veth.*; do
                    if [ -e \"$part\" ]; then cp -r --parents \"$part\" \"$2\"; fi
                done
                if [ -e modules.builtin ]; then cp modules.builtin \"$2\"; fi
                find \"$2\" -name '*.ko.xz' -exec xz -d {{}} +
                {compress}"
            ),
            &[&debian, &modules],
        );
    }

    /// Takes what is at these paths out of a stage, into another one.
    fn move_to(&self, from: &str, paths: &[&str], to: &str) {
        for path in paths {
            let to = self.at(&format!("{to}/{path}"));
            fs::create_dir_all(to.parent().expect("a directory")).expect("mkdir");
            fs::rename(self.at(&format!("{from}/{path}")), to).expect("moved");
        }
    }

    fn sh(&self, script: &str, arguments: &[&Path]) {
        let mut command = Command::new("sh");
        did(command.args(["-euc", script, "sh"]).args(arguments).current_dir(self.dir.path()));
    }

    /// A Debian package of a stage.
    fn deb(&self, stage: &str, name: &str, depends: &str) -> String {
        let control = format!(
            "Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: Nobody <no@body>\n\
             Depends: {depends}\nDescription: a kernel in parts\n"
        );
        let control = control.replace("RELEASE", &self.release);
        fs::create_dir(self.at(&format!("{stage}/DEBIAN"))).expect("mkdir");
        fs::write(self.at(&format!("{stage}/DEBIAN/control")), control).expect("written");
        let package = self.at(&format!("{name}_1_amd64.deb"));
        let mut command = Command::new("dpkg-deb");
        command.args(["--root-owner-group", "-Zzstd", "-z1", "-b"]);
        did(command.arg(self.at(stage)).arg(&package));
        text(&package)
    }

    /// An RPM package of a stage, its archive compressed as `payload` says.
    fn rpm(&self, stage: &str, name: &str, requires: &str, payload: &str) -> String {
        let spec = format!(
            "Name: {name}\nVersion: 1\nRelease: 1\nSummary: a kernel in parts\n\
             License: GPL-2.0-only\nAutoReqProv: no\nRequires: {requires}\n\
             %define _binary_payload {payload}\n%define _build_id_links none\n\
             %define debug_package %{{nil}}\n%define __os_install_post %{{nil}}\n\
             %description\nA kernel in parts.\n\
             %install\ncp -a '{}/.' '%{{buildroot}}/'\n%files\n/*\n",
            self.at(stage).display()
        );
        let spec = spec.replace("RELEASE", &self.release);
        let file = self.at(&format!("{name}.spec"));
        fs::write(&file, spec).expect("written");
        let define = |name: &str, path: &str| format!("{name} {}", self.at(path).display());
        let mut command = Command::new("rpmbuild");
        command.args(["-bb", "--quiet", "--target", "x86_64"]);
        command.args(["--define", &define("_topdir", "rpmbuild")]);
        command.args(["--define", &define("_rpmdir", "rpms")]);
        did(command.arg(&file));
        text(&self.at(&format!("rpms/x86_64/{name}-1-1.x86_64.rpm")))
    }

    /// The smoke selection on a kernel: both quizzes, the wake-up, and what needs a module
    /// that the kernel asks for.
    fn boot(&self, kernel: &str) -> Value {
        self.booted(matrix(&[kernel], SMOKE))
    }

    /// A command that finds what is staged as `system` in `/boot` and `/usr/lib`.
    fn in_system(&self, sockmig: &Command) -> Command {
        let script = "mount -t overlay -o \"lowerdir=$1/usr/lib:/usr/lib\" none /usr/lib
                      mount --bind \"$1/boot\" /boot
                      shift
                      exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-euc", script, "sh"]).arg(self.at("system"));
        command.arg(sockmig.get_program()).args(sockmig.get_args());
        command.env_remove("GITHUB_STEP_SUMMARY");
        command
    }

    fn booted(&self, mut command: Command) -> Value {
        let out = self.at("out");
        command.env("SOCKMIG_CACHE", self.at("cache")).arg("--out").arg(&out);
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(0), "{ended}");
        let document = document(&out.join("matrix.json"));
        let release = &document["kernels"][0]["run"]["environment"]["kernel"]["release"];
        assert_eq!(release.as_str(), Some(&*self.release), "{ended}");
        document
    }

    /// That nothing was missing: each case ran, and the gate is that of a module.
    fn assert_whole(&self, document: &Value) {
        let run = &document["kernels"][0]["run"];
        let cases = run["cases"].as_array().expect("cases");
        assert!(cases.len() >= SMOKE.len(), "{cases:?}");
        for case in cases {
            let verdict = case["verdict"].as_str();
            assert!(matches!(verdict, Some("pass" | "known-bug")), "{case}");
        }
        assert_eq!(run["environment"]["kernel"]["gate"]["kind"], "nftables", "{run}");
        assert!(run["environment"]["kernel"]["configuration"].is_object(), "it is not known");
    }
}

const SMOKE: &[&str] = &["quiz1/v4", "quiz2/v4", "wake-up/accept/v4", "destroy/listener/v4"];

/// That a tool did what it was asked to.
fn did(command: &mut Command) {
    let ended: Ended = run(command);
    assert_eq!(ended.code, Some(0), "{command:?}: {ended}");
}

fn text(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

fn ubuntu_packages(work: &Workplace) -> [String; 2] {
    work.stage("image", &UBUNTU);
    work.move_to("image", &["boot/config-RELEASE", "lib"], "modules");
    [
        work.deb("image", "linux-image-unsigned-RELEASE", "kmod, linux-modules-RELEASE"),
        work.deb("modules", "linux-modules-RELEASE", "wireless-regdb"),
    ]
}

fn ubuntu(kernels: &Kernels) {
    let work = Workplace::new(kernels);
    let [image, modules] = ubuntu_packages(&work);
    work.assert_whole(&work.boot(&format!("{image}+{modules}")));
}

fn image_alone(kernels: &Kernels) {
    let work = Workplace::new(kernels);
    let [image, _] = ubuntu_packages(&work);
    let document = work.boot(&image);
    let cases = document["kernels"][0]["run"]["cases"].as_array().expect("cases");
    let id = |case: &&Value| case["id"].as_str().is_some_and(|id| id.starts_with("destroy/"));
    let skipped = cases.iter().find(id).expect("it was asked for");
    assert_eq!((&skipped["verdict"], &skipped["kind"]), (&"skip".into(), &"not-given".into()));
    assert_eq!(skipped["module"], "tcp_diag", "{skipped}");
    let package = format!("linux-modules-{}", work.release);
    assert_eq!(skipped["packages"], serde_json::json!([package]), "{skipped}");
    assert!(skipped["reason"].as_str().is_some_and(|why| why.contains(&package)), "{skipped}");
}

fn fedora(kernels: &Kernels) {
    let work = Workplace::new(kernels);
    work.stage("core", &FEDORA);
    work.move_to("core", &["lib/modules/RELEASE/kernel"], "modules-core");
    let core = work.rpm("core", "kernel-core", "dracut", "w1.zstdio");
    let requires = "kernel-core-uname-r";
    work.rpm("modules-core", "kernel-modules-core", requires, "w1.zstdio");
    // The directory has both.
    let directory = Path::new(&core).parent().expect("a directory");
    work.assert_whole(&work.boot(&text(directory)));
}

fn suse(kernels: &Kernels) {
    let work = Workplace::new(kernels);
    work.stage("default", &SUSE);
    work.sh(
        "mkdir -p default/boot && ln -s \"../$1\" default/boot/",
        &[Path::new(&SUSE.image.replace("RELEASE", &work.release))],
    );
    let package = work.rpm("default", "kernel-default", "dracut", "w0.xzdio");
    work.assert_whole(&work.boot(&package));
}

fn amazon(kernels: &Kernels) {
    let work = Workplace::new(kernels);
    work.stage("kernel", &AMAZON);
    let package = work.rpm("kernel", "kernel", "dracut", "w1.gzdio");
    work.assert_whole(&work.boot(&package));
}

fn arch(kernels: &Kernels) {
    let work = Workplace::new(kernels);
    work.stage("linux", &SUSE);
    // As makepkg does it.
    work.sh(
        "cd linux
        printf 'pkgname = linux\\npkgver = 1-1\\narch = x86_64\\n' >.PKGINFO
        bsdtar -czf .MTREE --format=mtree \
            --options='!all,use-set,type,uid,gid,mode,time,size,sha256,link' .PKGINFO usr
        bsdtar --no-fflags -cf - .PKGINFO .MTREE usr | zstd -q -1 >../linux-1-1-x86_64.pkg.tar.zst",
        &[],
    );
    work.assert_whole(&work.boot(&text(&work.at("linux-1-1-x86_64.pkg.tar.zst"))));
}

/// A tree as `make` leaves it: the image, the modules where they were built, and their lists.
fn build(kernels: &Kernels) {
    let work = Workplace::new(kernels);
    work.stage("stage", &AMAZON);
    work.sh(
        "mkdir -p tree/arch/x86/boot
        mv stage/boot/vmlinuz-* tree/arch/x86/boot/bzImage
        mv stage/boot/config-* tree/.config
        mv stage/lib/modules/*/modules.builtin tree/ || true
        mv stage/lib/modules/*/kernel/* tree/
        cd tree
        find . -name '*.ko' | sed 's,^\\./,,; s,ko$,o,' >modules.order
        touch vmlinux.o Module.symvers",
        &[],
    );
    work.assert_whole(&work.boot(&text(&work.at("tree"))));
}

/// A system of its own for one command, in which a kernel of this machine's release is
/// installed: what `uname -r` says here is the name of Debian's kernel there.
fn installed(kernels: &Kernels) {
    let work = Workplace::new(kernels);
    work.stage("system", &SUSE);
    let running = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    fs::create_dir_all(work.at("system/boot")).expect("mkdir");
    let boot = work.at(&format!("system/boot/vmlinuz-{}", running.trim()));
    fs::rename(work.at("system/usr/lib/modules/RELEASE/vmlinuz"), boot).expect("moved");
    let doctor = run(&mut work.in_system(&sockmig(&["doctor"])));
    assert!(doctor.stdout.contains("; --kernel installed boots it in a guest\n"), "{doctor}");
    work.assert_whole(&work.booted(work.in_system(&matrix(&["installed"], SMOKE))));
}
