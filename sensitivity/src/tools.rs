//! Programs that are run, and what went wrong with them.

use std::process::Command;

use anyhow::{Context, bail};

/// Runs a command to its end, with nothing of it shown.
///
/// # Errors
/// It cannot be run (what to install is said then), or it fails: with the end of what it said.
pub fn ran(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| {
        format!("cannot run {name}; on Debian: apt install bc bison dpkg flex gcc libelf-dev make xz-utils")
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let end = lines[lines.len().saturating_sub(8)..].join("\n");
    bail!("{name} failed ({}):\n{end}", output.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_told_with_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no room >&2; exit 3"]);
        let told = ran(&mut command).expect_err("a failure").to_string();
        assert_eq!(told, "sh failed (exit status: 3):\nno room");
        let told = ran(&mut Command::new("no-such-program")).expect_err("none").to_string();
        assert!(told.starts_with("cannot run no-such-program; on Debian: apt install "), "{told}");
    }
}
