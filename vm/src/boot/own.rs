//! A kernel of the user's own: what the files that were named are, before any is unpacked.

use std::io;
use std::path::{Path, PathBuf};

use crate::boot::directory::{self, Meant};
use crate::boot::image::{self, FileKind, ImageKind};
use crate::boot::manifest::Stamp;
use crate::boot::modules::{self, Found};
use crate::boot::nearby;
use crate::boot::no_kernel::NoKernel;
use crate::boot::not_bootable::NotBootable;
use crate::boot::package::format::PackageFormat;

/// What a kernel of the user's own is made of.
#[derive(Debug, Default)]
pub struct Own {
    /// The kernel, if it is not in a package.
    pub image: Option<(PathBuf, ImageKind)>,
    /// Packages that have the kernel or its modules.
    pub packages: Vec<(PathBuf, PackageFormat)>,
    /// Its modules, if they are not in packages.
    pub modules: Option<Found>,
    /// Its configuration, if it is not in a package.
    pub config: Option<PathBuf>,
}

impl Own {
    /// Looks at the files that were named as a kernel and as its modules, in either case
    /// several that belong together, and at what is around an image that came alone.
    ///
    /// # Errors
    /// There is no kernel among them, more than one, or something that is neither a kernel nor
    /// a package.
    pub fn of(files: &[PathBuf], modules: &[PathBuf]) -> Result<Self, NotBootable> {
        let mut own = Self::default();
        for file in files {
            own.add(file)?;
        }
        for path in modules {
            own.add_modules(path)?;
        }
        if let Some((image, _)) = &own.image {
            let unreadable = |why| NotBootable::Modules { path: image.clone(), why };
            let nearby = nearby::around(image).map_err(unreadable)?;
            own.config = nearby.config;
            if own.modules.is_none() && own.packages.is_empty() {
                own.modules = nearby.modules;
            }
        }
        Ok(own)
    }

    /// Every file that it is made of, as it is now.
    ///
    /// # Errors
    /// One is not there any more.
    pub fn stamps(&self) -> Result<Vec<Stamp>, NotBootable> {
        let images = self.image.iter().map(|(path, _)| path);
        let packages = self.packages.iter().map(|(path, _)| path);
        let modules = self.modules.iter().flat_map(|found| found.files.values());
        let all = images.chain(packages).chain(modules).chain(&self.config);
        let stamp = |path: &PathBuf| {
            Stamp::of_theirs(path).map_err(|_| NotBootable::Changed { path: path.clone() })
        };
        all.map(stamp).collect()
    }

    fn add(&mut self, path: &Path) -> Result<(), NotBootable> {
        let refused = |why| NotBootable::NoKernel { path: path.into(), why };
        if path.is_dir() {
            return match directory::look_into(path).map_err(|e| refused(e.into()))? {
                Meant::Packages(packages) => packages.iter().try_for_each(|one| self.add_file(one)),
                Meant::Image(image) => self.add_file(&image),
                Meant::Several(releases) => {
                    Err(NotBootable::SeveralKernels { path: path.into(), releases })
                }
                Meant::Nothing => Err(refused(NoKernel::EmptyDirectory)),
            };
        }
        self.add_file(path)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), NotBootable> {
        match image::identify(path) {
            Ok(FileKind::Package(format)) => self.packages.push((path.into(), format)),
            Ok(FileKind::Image(kind)) => match &self.image {
                None => self.image = Some((path.into(), kind)),
                Some((other, _)) => {
                    return Err(NotBootable::TwoImages { one: other.clone(), other: path.into() });
                }
            },
            Err(why) => return Err(NotBootable::NoKernel { path: path.into(), why }),
        }
        Ok(())
    }

    /// A directory with modules in it, or packages, or a directory of packages.
    fn add_modules(&mut self, path: &Path) -> Result<(), NotBootable> {
        let unreadable = |why| NotBootable::Modules { path: path.into(), why };
        if path.is_dir() {
            if let Meant::Packages(packages) = directory::look_into(path).map_err(unreadable)? {
                return packages.iter().try_for_each(|one| self.add_package(one));
            }
            let found = modules::find(path).map_err(unreadable)?;
            let all = self.modules.get_or_insert_default();
            all.files.extend(found.files);
            all.built_in.extend(found.built_in);
            return Ok(());
        }
        self.add_package(path)
    }

    fn add_package(&mut self, path: &Path) -> Result<(), NotBootable> {
        match image::identify(path) {
            Ok(FileKind::Package(format)) => {
                self.packages.push((path.into(), format));
                Ok(())
            }
            Ok(FileKind::Image(_)) | Err(NoKernel::SomethingElse) => {
                Err(NotBootable::NoModules { path: path.into() })
            }
            Err(NoKernel::Unreadable(source)) => {
                Err(NotBootable::Modules { path: path.into(), why: source })
            }
            Err(NoKernel::Forbidden) => {
                let source = io::ErrorKind::PermissionDenied.into();
                Err(NotBootable::Modules { path: path.into(), why: source })
            }
            Err(why) => Err(NotBootable::NoKernel { path: path.into(), why }),
        }
    }
}
