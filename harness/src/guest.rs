//! A virtual machine seen from inside: how this program becomes its first process.
//!
//! A guest has no image and no other program: the kernel starts sockmig from the initial
//! RAM file system, with [`GUEST_ARGUMENT`] and the name of its [port](Port) after it.

pub mod emulator;
pub mod modules;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitStatus, wait as wait_for_any_child};
use nix::unistd::{Pid, getpid};

use crate::error::{Context, Error, Result};
use crate::process::arguments::{as_text, refuse};
use crate::process::frame::{self, Frame};
use crate::process::subprocess::{fork_into, inherit, inherited};
use crate::process::thread;
use crate::wait;

/// The first argument that makes this program the first process of a guest. What follows:
/// [`VIRTIO_PORT`], or the path of a serial line.
pub const GUEST_ARGUMENT: &str = "__guest";

/// What is in every sockmig that can be the first process of a guest, and its version: both ends
/// must be of one.
pub const IDENTITY: &[u8] =
    concat!("the guest program of sockmig ", env!("CARGO_PKG_VERSION")).as_bytes();

#[used]
static KEPT_IN_THE_PROGRAM: &[u8] = IDENTITY;

/// The name of the virtio port through which a guest sends and receives.
pub const VIRTIO_PORT: &str = "sockmig";

/// Tags of the frames that every guest sends, and of what it is sent after its task. The others are
/// the work's own.
pub mod tag {
    /// The guest is up and waits for its task. The payload is the kernel's uptime, as in
    /// `/proc/uptime`.
    pub const READY: u8 = b'R';
    /// A module or a mount that failed and that the guest does without; a frame for each.
    pub const MISSING: u8 = b'L';
    /// The emulator does something wrong, by the name of what ([`emulator`]); a frame for each.
    pub const EMULATOR_FAULT: u8 = b'F';
    /// The work is done: its exit code, as a little-endian number of 32 bits; 128 and the
    /// signal's number if it was killed.
    pub const END: u8 = b'.';
    /// From the host: the program that is the work is to end, as by Ctrl-C.
    pub const INTERRUPT: u8 = b'!';
    /// What the work is about to do, in its own words. The host has it before it is done: it is all
    /// that is left if the kernel panics then.
    pub const INTENT: u8 = b'i';
    /// What the work has found and the host is to keep, in its own words: files of a guest are gone
    /// with it.
    pub const FOUND: u8 = b'f';
}

/// The variable that says which descriptor is the [port](Port) that was [lent](Port::lend).
const LENT: &str = "LENT_PORT";

/// Whether this runs in a guest, where nothing is at work but what this program started. The
/// kernel's command line says so, which is written by the program that boots a guest.
pub fn is_here() -> bool {
    fs::read_to_string("/proc/cmdline").is_ok_and(|line| is_of_guest(&line))
}

/// In a guest, a call that its kernel refuses though nothing else could have been in its way says
/// something of the kernel. Elsewhere the error stays what it is.
pub(crate) fn blaming_its_kernel(refused: Error) -> Error {
    match refused {
        Error::Call { call, source } if is_here() => Error::Tested { call, source },
        other => other,
    }
}

fn is_of_guest(command_line: &str) -> bool {
    command_line.split_whitespace().skip_while(|word| *word != "--").nth(1) == Some(GUEST_ARGUMENT)
}

/// Makes this process the first one of a guest if it was started as one, and powers the
/// machine off then. Otherwise does nothing.
///
/// `work` gets the port and the task that came through it, in a process of its own.
pub fn enter(work: impl FnOnce(&Port, &Frame) -> i32) {
    modules::answer_kernel();
    // Parameters that the kernel does not know come first.
    let mut arguments = as_text().skip(1).skip_while(|argument| argument != GUEST_ARGUMENT);
    if arguments.next().is_none() {
        return;
    }
    let (true, Some(port)) = (getpid() == Pid::from_raw(1), arguments.next()) else {
        refuse(GUEST_ARGUMENT)
    };
    if let Err(e) = live(&port, work) {
        let _ = writeln!(io::stdout(), "sockmig: the guest cannot work: {e}");
    }
    power_off()
}

fn live(port: &str, work: impl FnOnce(&Port, &Frame) -> i32) -> Result<()> {
    let mut missing = mount_all();
    missing.extend(modules::load_at_start());
    let port = Port::open(port)?;
    for fault in emulator::faults() {
        port.send(tag::EMULATOR_FAULT, fault.into())?;
    }
    for each in missing {
        port.send(tag::MISSING, each.into_bytes())?;
    }
    port.send(tag::READY, fs::read("/proc/uptime").unwrap_or_default())?;
    let task = port.receive()?;
    let child = fork_into(|| work(&port, &task))?;
    let code = reap_until(child)?;
    port.send(tag::END, code.to_le_bytes().to_vec())?;
    port.drain();
    Ok(())
}

/// The first process is the parent of every orphan.
fn reap_until(worker: Pid) -> Result<i32> {
    loop {
        match wait_for_any_child().call(|| "wait()".into())? {
            WaitStatus::Exited(pid, code) if pid == worker => return Ok(code),
            WaitStatus::Signaled(pid, signal, _) if pid == worker => {
                return Ok(128 + signal as i32);
            }
            _ => {}
        }
    }
}

/// Mounts what programs expect. Returns what is missing, and why.
fn mount_all() -> Vec<String> {
    let mounts = [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/dev/shm"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/run"),
        ("bpf", "/sys/fs/bpf"),
        ("cgroup2", "/sys/fs/cgroup"),
    ];
    let mount_one = |(kind, at): (&str, &str)| {
        let _ = fs::create_dir_all(at);
        // What the host shared may be there, and must not be covered.
        if kind == "tmpfs" && fs::read_dir(at).is_ok_and(|mut there| there.next().is_some()) {
            return None;
        }
        let mounted = mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>);
        mounted.err().map(|e| format!("mount({kind}, {at}): {e}"))
    };
    let missing = mounts.into_iter().filter_map(mount_one).collect();
    make_tun();
    missing
}

/// The node whose opening has the kernel ask for its driver, with the numbers of
/// `include/linux/miscdevice.h`. Elsewhere udev makes it, from what the modules say.
fn make_tun() {
    let _ = fs::create_dir_all("/dev/net");
    let everybody = Mode::from_bits_truncate(0o666);
    // It is there already if the driver is built in.
    let _ = mknod("/dev/net/tun", SFlag::S_IFCHR, everybody, makedev(10, 200));
}

fn power_off() -> ! {
    let refused = reboot(RebootMode::RB_POWER_OFF);
    panic!("reboot(RB_POWER_OFF): {refused:?}");
}

/// Through which a guest receives its task and sends its results. Clones are the same port,
/// so that several threads may send.
#[derive(Clone)]
pub struct Port {
    device: Arc<Mutex<File>>,
}

impl Port {
    fn open(name: &str) -> Result<Self> {
        let device = match name {
            VIRTIO_PORT => wait::until("the virtio port", || Ok(virtio_port(VIRTIO_PORT)))?,
            line => PathBuf::from(line),
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&device)
            .call(|| format!("open({}, O_RDWR)", device.display()))?;
        if name != VIRTIO_PORT {
            make_raw(&file)?;
        }
        Ok(Self { device: Arc::new(Mutex::new(file)) })
    }

    /// Sends one frame whole.
    ///
    /// # Errors
    /// The device refuses it.
    pub fn send(&self, tag: u8, payload: Vec<u8>) -> Result<()> {
        let frame = Frame { tag, payload };
        frame.send(&mut *self.lock()).call(|| format!("write(port, {} bytes)", frame.payload.len()))
    }

    /// Has the program that a command starts, and what it starts in turn, send through this port,
    /// too: what goes through a pipe may not have left the guest when the kernel panics.
    pub fn lend(&self, command: &mut Command) {
        let descriptor = self.lock().as_raw_fd();
        inherit(command, descriptor);
        command.env(LENT, descriptor.to_string());
    }

    /// The port that was lent to this process. It may be asked for once, and no program that this
    /// process starts has it then.
    ///
    /// # Errors
    /// The descriptor is not open.
    pub fn lent() -> Result<Option<Self>> {
        let named = std::env::var(LENT).ok().and_then(|text| text.parse::<RawFd>().ok());
        let Some(descriptor) = named.filter(|_| is_here()) else { return Ok(None) };
        let device = File::from(inherited(descriptor)?);
        Ok(Some(Self { device: Arc::new(Mutex::new(device)) }))
    }

    /// Ends every other process of the guest but the first one: whatever a program has left in
    /// the background, which the machine would not outlive.
    pub fn end_other_processes(&self) {
        // A port is opened by the first process of a guest alone, and nowhere else may this be
        // done. It fails if there is nobody.
        if is_here() {
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        }
    }

    fn receive(&self) -> Result<Frame> {
        frame::receive(&mut Patient(&mut self.lock())).call(|| "read(port)".into())
    }

    /// From now on, sends a program SIGINT when the host says so.
    ///
    /// # Errors
    /// There is no descriptor or no thread for it.
    pub fn pass_on_interruptions(&self, program: &Child) -> Result<()> {
        let mut device = self.lock().try_clone().call(|| "dup(port)".into())?;
        let program = Pid::from_raw(program.id() as i32);
        let listen = move || {
            while let Ok(frame) = frame::receive(&mut Patient(&mut device)) {
                if frame.tag == tag::INTERRUPT {
                    let _ = kill(program, Signal::SIGINT);
                }
            }
        };
        // Nobody waits for it: it ends with the process.
        thread::spawn(listen).map(drop)
    }

    /// Waits until everything that was sent has left.
    fn drain(&self) {
        // A virtio port has no such call, and needs none: its writes end when the host has
        // them.
        let _ = tcdrain(self.lock().as_fd());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, File> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A virtio port reads as ended while nobody has opened it on the host's side; somebody
/// will.
struct Patient<'p>(&'p mut File);

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer)? {
                0 => wait::pause(Duration::from_millis(2)),
                got => return Ok(got),
            }
        }
    }
}

/// The device of a port, once it has its name: names arrive a while after the driver, and
/// a driver that is a module comes late itself.
fn virtio_port(wanted: &str) -> Option<PathBuf> {
    fs::read_dir("/sys/class/virtio-ports").ok()?.flatten().find_map(|entry| {
        let name = fs::read_to_string(entry.path().join("name")).ok()?;
        (name.trim() == wanted).then(|| Path::new("/dev").join(entry.file_name()))
    })
}

/// A serial line passes bytes on unchanged only in raw mode.
fn make_raw(line: &File) -> Result<()> {
    let mut settings = tcgetattr(line).call(|| "tcgetattr(port)".into())?;
    cfmakeraw(&mut settings);
    tcsetattr(line, SetArg::TCSANOW, &settings).call(|| "tcsetattr(port, raw)".into())
}

#[cfg(test)]
mod tests {
    use super::is_of_guest;

    #[test]
    fn a_guest_is_known_by_its_command_line() {
        assert!(is_of_guest("console=ttyS0 quiet -- __guest sockmig\n"));
        assert!(!is_of_guest("console=ttyS0 quiet -- --an-init\n"));
        assert!(!is_of_guest("BOOT_IMAGE=/vmlinuz __guest\n"));
    }
}
