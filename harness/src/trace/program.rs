//! eBPF programs, as far as they decide who gets a connection.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A program of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupProgram {
    /// It is asked for connections that migrate, too
    /// (`BPF_SK_REUSEPORT_SELECT_OR_MIGRATE`).
    pub migrates: bool,
    /// What it does, in order. After the last one it passes.
    pub steps: Vec<ProgramStep>,
    /// When it is called (`expected_attach_type`).
    #[serde(default)]
    pub attach_type: u32,
    /// Its instructions, each as sixteen hexadecimal digits in this machine's byte order. Maps
    /// are in them by the numbers of their descriptors.
    #[serde(default)]
    pub instructions: String,
    /// Its maps.
    #[serde(default)]
    pub maps: Vec<ProgramMap>,
}

/// A map of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramMap {
    /// The number of its descriptor.
    pub number: u32,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// How many bytes a key has.
    pub key: u32,
    /// How many bytes a value has.
    pub value: u32,
    /// How many entries there can be.
    pub entries: u32,
}

/// What a program does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramStep {
    /// The steps, if the condition holds.
    When(ProgramCondition, Vec<Self>),
    /// It ends with this result (`enum sk_action`).
    End(i32),
    /// It counts, or reads or writes something that decides nothing.
    Other,
}

/// When a part of a program runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramCondition {
    /// A connection looks for another listener.
    Migrating,
    /// A segment looks for a listener.
    New,
    /// A connection in this state looks for another listener; the state's name in the kernel.
    MigratingIn(String),
    /// There is no packet.
    NoPacket,
    /// The listener at an index of an array could be selected.
    Selected {
        /// The number of the array's descriptor.
        array: u32,
        /// The index.
        index: u32,
    },
    /// One that the lab does not record.
    Other,
}
