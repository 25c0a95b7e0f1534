//! Where everything is kept that is made: the source, what is built of it, broken kernels, results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;
use vm::fetch::cache::{Cache, Progress};
use vm::fetch::kernels::Kernel;
use vm::fetch::packages;

use crate::tools;

/// A directory with everything.
#[derive(Debug, Clone)]
pub struct Place {
    root: PathBuf,
    /// What is built, and runs.
    made: PathBuf,
}

impl Place {
    /// This one, which is made if it is not there. Kernels for other machines have another directory
    /// there, by name, and the same source.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn at(root: &Path, machine: &str) -> anyhow::Result<Self> {
        let made = root.join(machine);
        for directory in ["kernels", "runs"] {
            let directory = made.join(directory);
            fs::create_dir_all(&directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let whole = |path: &Path| path.canonicalize().context("the directory that was made");
        Ok(Self { root: whole(root)?, made: whole(&made)? })
    }

    /// The kernel's source, which changes are made in and taken back.
    pub fn source(&self) -> PathBuf {
        self.root.join("source")
    }

    /// What is built of it.
    pub fn build(&self) -> PathBuf {
        self.made.join("build")
    }

    /// What it was to be configured with.
    pub fn asked_config(&self) -> PathBuf {
        self.made.join("asked.config")
    }

    /// A kernel, by its id.
    pub fn kernel(&self, id: &str) -> PathBuf {
        self.made.join("kernels").join(id)
    }

    /// What a run on a kernel writes.
    pub fn run(&self, id: &str) -> PathBuf {
        self.made.join("runs").join(id)
    }

    /// One line for each change that is done.
    pub fn results(&self) -> PathBuf {
        self.root.join("results.jsonl")
    }

    /// A file of the source as it is without any change.
    ///
    /// # Errors
    /// The source has no such file.
    pub fn pristine(&self, file: &str) -> anyhow::Result<String> {
        let (kept, used) = (self.root.join("pristine").join(file), self.source().join(file));
        let read = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        if !kept.is_file() {
            let text = read(&used)?;
            let directory = kept.parent().unwrap_or(&self.root);
            fs::create_dir_all(directory)
                .and_then(|()| fs::write(kept.with_extension("coming"), &text))
                .and_then(|()| fs::rename(kept.with_extension("coming"), &kept))
                .with_context(|| format!("cannot write {}", kept.display()))?;
            return Ok(text);
        }
        // Whoever was killed has left its change there.
        let text = read(&kept)?;
        if read(&used)? != text {
            fs::write(&used, &text).with_context(|| format!("cannot write {}", used.display()))?;
        }
        Ok(text)
    }

    /// Puts the source there, unless it is: a copy of this tree, or Debian's package.
    ///
    /// # Errors
    /// It cannot be had, unpacked or written.
    pub fn put_source(&self, tree: Option<&Path>) -> anyhow::Result<()> {
        let source = self.source();
        if source.join("Makefile").is_file() {
            return Ok(());
        }
        // Under another name until it is whole.
        let coming = self.root.join("source.coming");
        if coming.exists() {
            fs::remove_dir_all(&coming).context("cannot remove what an earlier try has left")?;
        }
        match tree {
            Some(tree) => {
                let is_tree = tree.join("net/core/sock_reuseport.c").is_file();
                ensure!(is_tree, "{} is no source of a kernel", tree.display());
                let from = tree.join(".");
                tools::ran(Command::new("cp").arg("--archive").arg(from).arg(&coming))?;
            }
            None => self.unpack(&coming)?,
        }
        fs::rename(&coming, &source).with_context(|| format!("cannot make {}", source.display()))
    }

    fn unpack(&self, to: &Path) -> anyhow::Result<()> {
        let listed = listed()?;
        let cache = Cache::open()?;
        let mut watch = |progress: Progress<'_>| {
            if let Progress::Refreshing { .. } = progress {
                eprintln!("reading the package lists of Debian's {}", listed.suite);
            }
        };
        eprintln!("fetching {} {}", listed.packages[0].name, listed.packages[0].version);
        let packages = packages::fetch(&listed, &cache, &mut watch)?;
        let package = self.root.join("package");
        eprintln!("unpacking it");
        tools::ran(Command::new("dpkg-deb").arg("--extract").arg(&packages[0]).arg(&package))?;
        let archive = package.join("usr/src").join(format!("{}.tar.xz", listed.packages[0].name));
        fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--strip-components=1", "--file"]).arg(archive).arg("-C").arg(to);
        tools::ran(&mut tar)?;
        fs::remove_dir_all(&package).context("cannot remove what was unpacked")
    }
}

/// The source of Debian's that is used if there is no other one.
fn listed() -> anyhow::Result<Kernel> {
    #[derive(Deserialize)]
    struct List {
        kernel: Kernel,
    }
    let list: List =
        toml::from_str(include_str!("../source.toml")).context("sensitivity/source.toml")?;
    Ok(list.kernel)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_listed_source_is_one_package() {
        assert_eq!(super::listed().expect("a list").packages.len(), 1);
    }
}
