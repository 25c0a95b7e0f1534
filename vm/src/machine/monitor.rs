//! QEMU's monitor (QMP), as far as saving a machine needs it.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use harness::wait;
use serde_json::{Value, json};

/// A machine of a hundred megabytes is saved within a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// A conversation with the monitor of a running machine.
pub struct Monitor {
    socket: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// There is no monitor, or it does not answer as one.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self { socket: BufReader::new(socket) };
        monitor.hear()?;
        monitor.command("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Saves the machine's whole state in the file `to`, a plain name in its `directory`.
    /// The machine does not go on. The file is there when it is whole: who writes it is a process of
    /// the machine's, and ends with it.
    ///
    /// # Errors
    /// The monitor refuses, or the state cannot be written.
    pub fn save(&mut self, directory: &Path, to: &str) -> io::Result<()> {
        let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
        self.command("migrate-set-capabilities", &events)?;
        self.command("migrate-set-parameters", &json!({ "max-bandwidth": 10_u64 << 30 }))?;
        let uri = format!("exec:cat > {to}.part && mv {to}.part {to}");
        self.command("migrate", &json!({ "uri": uri }))?;
        loop {
            let said = self.hear()?;
            if said["event"] != "MIGRATION" {
                continue;
            }
            match said["data"]["status"].as_str() {
                Some("completed") => {
                    let file = directory.join(to);
                    let is_whole = || Ok(file.exists().then_some(()));
                    return wait::until_within(
                        PATIENCE,
                        "the machine's state to be written",
                        is_whole,
                    )
                    .map_err(|_| not_saved());
                }
                Some("failed") => return Err(not_saved()),
                _ => {}
            }
        }
    }

    fn command(&mut self, name: &str, arguments: &Value) -> io::Result<()> {
        let mut line = json!({ "execute": name, "arguments": arguments }).to_string();
        line.push('\n');
        self.socket.get_mut().write_all(line.as_bytes())?;
        loop {
            let said = self.hear()?;
            if let Some(error) = said.get("error") {
                return Err(io::Error::other(format!("{name}: {}", error["desc"])));
            }
            if said.get("return").is_some() {
                return Ok(());
            }
        }
    }

    fn hear(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        match self.socket.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => serde_json::from_str(&line).map_err(io::Error::other),
        }
    }
}

fn not_saved() -> io::Error {
    io::Error::other("the machine could not be saved")
}
