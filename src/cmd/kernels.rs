//! `sockmig kernels`: the kernels that can be fetched by name.

use std::io::{self, IsTerminal, Write};

use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use vm::architecture::Architecture;
use vm::boot::not_bootable::NotBootable;
use vm::boot::prepare;
use vm::boot::prune;
use vm::fetch::cache::{Cache, CacheError, Progress};
use vm::fetch::choice::{self, Choice};
use vm::fetch::kernels::Kernel;

use crate::cli::KernelsCommand;
use crate::exit::Exit;
use crate::machine::prepare::arch_or_own;
use crate::output::fold;
use crate::output::stderr;
use crate::output::stdout::{self, Stdout};

/// Does what the command line says.
pub fn kernels(command: &KernelsCommand) -> Exit {
    let cache = match Cache::open() {
        Ok(cache) => cache,
        Err(e) => return unavailable(&e),
    };
    match command {
        KernelsCommand::List { arch } => written(|to| list(&cache, arch_or_own(*arch), to))
            .map_or_else(|exit| exit, |()| Exit::Expected),
        KernelsCommand::Fetch { names, arch } => fetch(&cache, names, arch_or_own(*arch)),
        KernelsCommand::Prune { all } => match prune::prune(&cache, *all) {
            Ok(freed) => {
                written(|to| tell_freed(freed, to)).map_or_else(|exit| exit, |()| Exit::Expected)
            }
            Err(e) => unavailable(&e),
        },
    }
}

/// The width of the column of the names of an architecture's kernels.
fn width_of_names(architecture: Architecture) -> usize {
    choice::of(architecture).map(|kernel| kernel.name.len()).max().unwrap_or(0) + 1
}

/// One kernel a line.
pub fn list(cache: &Cache, architecture: Architecture, to: &mut impl Write) -> io::Result<()> {
    let width = width_of_names(architecture);
    let line = |cells: [&str; 6]| {
        let [name, line, suite, size, cached, note] = cells;
        let text = format!("{name:<width$} {line:<5} {suite:<18} {size:>8}  {cached:<8} {note}");
        format!("{}\n", text.trim_end())
    };
    // As wide as a line without a note is.
    let narrow = stdout::known_width().filter(|columns| *columns < width + 44);
    let mut text = match narrow {
        Some(_) => String::new(),
        None => line(["NAME", "LINE", "SUITE", "PACKAGES", "CACHED", ""]),
    };
    for kernel in choice::of(architecture) {
        let size = DecimalBytes(kernel.size()).to_string();
        let note = kernel.note.as_deref().unwrap_or_default();
        let cached = cached(kernel, cache);
        text += &match narrow {
            Some(columns) => {
                let headings = ["line", "suite", "packages", "cached", "note:"];
                let cells = [&kernel.line, &kernel.suite, &*size, cached, note].map(str::to_owned);
                fold::cells(&kernel.name, &headings, &cells, columns)
            }
            None => line([&kernel.name, &kernel.line, &kernel.suite, &size, cached, note]),
        };
    }
    write!(
        to,
        "{text}\n{} in {}\n",
        DecimalBytes(prune::size(cache.root())),
        cache.root().display()
    )
}

fn cached(kernel: &Kernel, cache: &Cache) -> &'static str {
    let has_package = |package: &vm::fetch::kernels::Package| {
        let there = std::fs::metadata(cache.packages().join(package.file_name()));
        there.is_ok_and(|there| there.len() == package.size)
    };
    if prepare::ready(&prepare::place(kernel, cache)).is_some() {
        "ready"
    } else if kernel.packages.iter().all(has_package) {
        "package"
    } else {
        "nothing"
    }
}

fn fetch(cache: &Cache, names: &[String], architecture: Architecture) -> Exit {
    let mut choices = Vec::new();
    for name in names {
        match choice::choose(name, None, architecture) {
            Ok(chosen) => choices.extend(chosen),
            Err(unknown) => {
                stderr::complain(&unknown);
                return Exit::Usage;
            }
        }
    }
    if let Some(here) = choices.iter().find(|choice| !choice.is_listed()) {
        stderr::complain(&format_args!(
            "{} is on this machine, and needs no fetching",
            here.name()
        ));
        return Exit::Usage;
    }
    if names.is_empty() {
        choices = choice::all(architecture);
    }
    let its = choices.iter().filter_map(Choice::architecture);
    let width = its.map(width_of_names).max().unwrap_or(0);
    let mut to = Stdout::new();
    let mut failed = 0;
    for choice in &choices {
        let line = match ready(choice, cache) {
            Ok(line) => format!("{:<width$} {line}", choice.name()),
            Err(NotBootable::Cache(e)) => return unavailable(&e),
            Err(e) => {
                failed += 1;
                format!("{:<width$} {e}", choice.name())
            }
        };
        if let Err(e) = writeln!(to, "{line}").and_then(|()| to.flush()) {
            return unwritten(&e);
        }
    }
    let ready = choices.len() - failed;
    stderr::line(&format_args!(
        "{ready} of {} kernels are ready, in {}",
        choices.len(),
        cache.root().display()
    ));
    match (failed, ready, names) {
        (0, ..) | (_, 1.., []) => Exit::Expected,
        _ => Exit::Unavailable,
    }
}

fn ready(choice: &Choice, cache: &Cache) -> Result<String, NotBootable> {
    let mut shown = Shown::new();
    let bootable = prepare::prepare(choice, cache, &mut |progress| shown.show(progress));
    shown.bar.finish_and_clear();
    let modules = bootable?.modules.len();
    Ok(format!("ready, {modules} modules"))
}

/// Progress as a bar on a terminal, and as a line a step elsewhere.
struct Shown {
    bar: ProgressBar,
    plain: bool,
    last: String,
}

impl Shown {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        Self { bar, plain: !io::stderr().is_terminal(), last: String::new() }
    }

    fn show(&mut self, progress: Progress<'_>) {
        let (text, template) = match progress {
            Progress::Fetching { bytes, total, .. } => {
                self.bar.set_length(total);
                self.bar.set_position(bytes);
                (progress_text(progress), "{bar:16} {percent:>3} %  {wide_msg}")
            }
            _ => (progress_text(progress), "{wide_msg}"),
        };
        if text != self.last {
            if self.plain {
                stderr::line(&text);
            }
            self.bar.set_style(ProgressStyle::with_template(template).expect("a fixed template"));
            self.bar.set_message(text.clone());
            self.last = text;
        }
        self.bar.tick();
    }
}

fn progress_text(progress: Progress<'_>) -> String {
    match progress {
        Progress::Waiting { what } => format!("waiting for another sockmig, which has {what}"),
        Progress::Refreshing { suite } => format!("apt reads the package lists of {suite}"),
        Progress::Fetching { package, total, .. } => {
            format!("fetching {} of {package}", DecimalBytes(total))
        }
        Progress::Unpacking { kernel } => format!("unpacking {kernel}"),
    }
}

fn tell_freed(freed: prune::Freed, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "removed {}, {} freed", freed.things, DecimalBytes(freed.bytes))?;
    match freed.busy {
        0 => Ok(()),
        busy => writeln!(to, "kept {busy} that another sockmig is using"),
    }
}

fn written(write: impl FnOnce(&mut Stdout) -> io::Result<()>) -> Result<(), Exit> {
    let mut to = Stdout::new();
    write(&mut to).and_then(|()| to.flush()).map_err(|e| unwritten(&e))
}

fn unwritten(error: &io::Error) -> Exit {
    stderr::complain(&error);
    Exit::Unavailable
}

fn unavailable(error: &CacheError) -> Exit {
    stderr::complain(&error);
    Exit::Unavailable
}
