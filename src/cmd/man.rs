//! `sockmig man`: the man pages, made from the command line's definition.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff};

use crate::cli::ManArguments;
use crate::cmd::print;
use crate::exit::Exit;
use crate::output::file::write_whole;
use crate::output::stderr;

/// Prints the page of the command, or writes the pages of it and of all subcommands.
pub fn man(mut command: Command, arguments: &ManArguments) -> Exit {
    command.build();
    let Some(directory) = &arguments.directory else {
        return match page(&command) {
            Ok(page) => print::exactly(&page),
            Err(e) => failed(&e.into()),
        };
    };
    match write(&command, directory) {
        Ok(()) => Exit::Expected,
        Err(e) => failed(&e),
    }
}

fn failed(why: &anyhow::Error) -> Exit {
    stderr::complain(&format_args!("{why:#}"));
    Exit::Unavailable
}

fn write(command: &Command, directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    all(command).into_iter().try_for_each(|command| {
        write_whole(&directory.join(format!("{}.1", name(command))), &page(command)?)
    })
}

/// The command, and everything below it.
fn all(command: &Command) -> Vec<&Command> {
    [command].into_iter().chain(command.get_subcommands().flat_map(all)).collect()
}

/// `sockmig-kernels-list`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let source = concat!("sockmig ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).manual("sockmig").source(source);
    let mut page = vec![];
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(after) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        // Its lines are what they are: no formatter may fill them.
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES AND EXIT CODES"]).control("nf", []);
        roff.text([Inline::Roman(after.to_string())]).control("fi", []);
        roff.to_writer(&mut page)?;
    }
    Ok(page)
}
