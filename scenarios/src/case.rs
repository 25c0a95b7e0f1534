//! A case: what is done, what must happen, which source says so, and the code.

use std::fmt;
use std::time::Duration;

use harness::Family;
use harness::lab::{Lab, PROGRAMS_LEFT};
use serde::{Deserialize, Serialize};

use crate::document::Citation;
use crate::judge::expectation::{Expectation, WireRule};

/// A behaviour of the kernel, as something that can be run.
#[derive(Clone, Copy)]
pub struct Case {
    /// The id without its setting: `quiz1`, `bind/other-uid`.
    pub name: &'static str,
    /// The names that it had before. They still select it.
    pub former_names: &'static [&'static str],
    /// What the case does.
    pub does: &'static str,
    /// What must happen.
    pub must: &'static str,
    /// The documents that say so. What none of them says comes from the kernel's source.
    pub documents: &'static [Citation],
    /// The kernel functions and commits that say so.
    pub source: &'static str,
    /// The settings it runs in.
    pub settings: Settings,
    /// What it needs beyond sockets.
    pub needs: &'static [Need],
    /// The longest timer of the kernel that it waits for.
    pub waits_for: Duration,
    /// What the wire must show, where `expect` does not say it.
    pub wire: WireRule,
    /// Does it, in a lab that has the setting, and observes.
    pub run: fn(&mut Lab, Setting) -> harness::Result<()>,
    /// What must have been observed.
    pub expect: fn(Setting) -> Expectation,
}

/// Timers beyond this are long. The default run waits for the kernel's first second and for
/// the two after it, while it does everything else, and for nothing that comes later.
const LONG: Duration = Duration::from_millis(3500);

impl Case {
    /// Whether it waits for timers so long that it is left out by default where time is
    /// real.
    pub fn is_long(&self) -> bool {
        self.waits_for > LONG
    }

    /// Who says so: documents, kernel functions, commits.
    pub fn sources(&self) -> String {
        let documents = self.documents.iter().map(Citation::to_string);
        let kernel = Some(self.source).filter(|source| !source.is_empty());
        documents.chain(kernel.map(str::to_owned)).collect::<Vec<_>>().join("; ")
    }

    /// A case without needs or timers, to fill in.
    pub const DEFAULT: Self = Self {
        name: "",
        former_names: &[],
        does: "",
        must: "",
        documents: &[],
        source: "",
        settings: Settings::Once,
        needs: &[],
        waits_for: Duration::ZERO,
        wire: WireRule::InExpect,
        run: |_, _| Ok(()),
        expect: |_| Expectation::new(),
    };
}

/// Which settings a case runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// Once, in IPv4: the case is not about connections.
    Once,
    /// In every address family.
    Families,
    /// In every address family, with migration by the sysctl.
    FamiliesOn,
    /// In every address family, with migration off and on.
    FamiliesOffAndOn,
    /// Once, in this family, with migration by the sysctl.
    OnceOn(Family),
}

/// Whether, and how, migration is enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Migration {
    /// `tcp_migrate_req` is 0 and there is no program.
    Off,
    /// `tcp_migrate_req` is 1.
    On,
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Off => "off",
            Self::On => "on",
        })
    }
}

/// How a case is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The address family of every socket.
    pub family: Family,
    /// Migration, as the case finds it.
    pub migration: Migration,
}

/// What a case needs from the machine beyond sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The code that `tcp_migrate_req` enables.
    Migration,
    /// Something to hold final ACKs with: nftables, or a filter on a listener.
    Gate,
    /// TCP's MD5 signatures.
    Md5,
    /// TCP's authentication option.
    Ao,
    /// Sockets that netlink reports.
    SockDiag,
    /// Sockets that are destroyed by netlink.
    Destroy,
    /// Multipath TCP, in the family of the setting.
    Multipath,
    /// SYN cookies.
    SynCookies,
    /// Sysctls of the network namespace that can be written, others than the one that enables
    /// migration.
    Settings,
    /// UNIX sockets.
    UnixSockets,
    /// `close_range`.
    CloseRange,
    /// eBPF programs that the kernel asks about migrations.
    Programs,
    /// io_uring, where it is not turned off.
    IoUring,
    /// A kernel that refuses memory to itself when it is told to.
    RefusedMemory,
    /// Somebody who asks for it by name: it harms kernels with a bug, which warn in their log
    /// and are tainted then, or leak.
    ExplicitOnly,
    /// Somebody who asks for it by name: it counts as far as the kernel does, and takes a processor
    /// up to half a minute.
    LongWork,
    /// A second user.
    SecondUid,
    /// IPv6, in a setting that does not say so.
    Ipv6,
    /// A machine on which nothing else is at work, this program's other cases included.
    OwnMachine,
}

impl Need {
    /// Whether it is that somebody asks for the case by name.
    pub fn is_to_be_named(&self) -> bool {
        matches!(self, Self::ExplicitOnly | Self::LongWork)
    }
}

/// A case in one setting: what a run consists of.
#[derive(Clone, Copy)]
pub struct Selected {
    /// The case.
    pub case: &'static Case,
    /// Its setting.
    pub setting: Setting,
    /// Somebody asked for just this case, or a few like it.
    pub named: bool,
}

impl Selected {
    /// The same, asked for by name if `prefix` is more than the name of a mechanism.
    #[must_use]
    pub fn named_by(self, prefix: &str) -> Self {
        let beyond = prefix.split_once('/').is_some_and(|(_, rest)| !rest.is_empty());
        Self { named: self.named || (beyond && self.id().starts_with(prefix)), ..self }
    }

    /// The full id, a path: `quiz1/v4/on`.
    pub fn id(&self) -> String {
        let Self { case, setting, .. } = self;
        let (family, migration) = (setting.family, setting.migration);
        match case.settings {
            Settings::Once | Settings::OnceOn(_) => case.name.to_owned(),
            Settings::Families | Settings::FamiliesOn => format!("{}/{family}", case.name),
            Settings::FamiliesOffAndOn => format!("{}/{family}/{migration}", case.name),
        }
    }

    /// What it needs, its setting's needs included.
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = self.case.needs.to_vec();
        if self.setting.migration == Migration::On && !needs.contains(&Need::Migration) {
            needs.push(Need::Migration);
        }
        needs
    }

    /// Whether no other case may run at the same time.
    pub fn is_alone(&self) -> bool {
        self.case.needs.contains(&Need::OwnMachine)
    }

    /// What must have been observed; every case must also have its sockets freed, and its
    /// programs.
    pub fn expectation(&self) -> Expectation {
        let must = (self.case.expect)(self.setting).fact("sockets never freed", 0);
        let must = match self.case.wire {
            _ if must.states_the_wire() => must,
            WireRule::InExpect => must,
            WireRule::Silent => must.silent(),
            WireRule::Shows(actors) => must.wires(actors),
            WireRule::OffAndOn(off, on) => must.wires(match self.setting.migration {
                Migration::Off => off,
                Migration::On => on,
            }),
            WireRule::Any(why) => must.any_wire(why),
        };
        match self.case.needs.contains(&Need::Programs) {
            true => must.fact(PROGRAMS_LEFT, "none"),
            false => must,
        }
    }
}

impl Case {
    /// The case in each of its settings.
    pub fn selected(&'static self) -> impl Iterator<Item = Selected> {
        let families = match self.settings {
            Settings::Once | Settings::OnceOn(Family::V4) => &[Family::V4],
            Settings::OnceOn(Family::V6) => &[Family::V6],
            Settings::OnceOn(Family::V4Mapped) => &[Family::V4Mapped],
            _ => Family::ALL,
        };
        let migrations: &[Migration] = match self.settings {
            Settings::Once | Settings::Families => &[Migration::Off],
            Settings::FamiliesOn | Settings::OnceOn(_) => &[Migration::On],
            Settings::FamiliesOffAndOn => &[Migration::Off, Migration::On],
        };
        families.iter().flat_map(move |&family| {
            migrations.iter().map(move |&migration| Selected {
                case: self,
                setting: Setting { family, migration },
                named: false,
            })
        })
    }
}
