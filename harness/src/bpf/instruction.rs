//! The kernel's eBPF instructions, as far as programs here need them.

/// A register: 0 holds results, 1 to 5 arguments; calls leave 6 to 9 as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register(u8);

pub(super) const R0: Register = Register(0);
pub(super) const R1: Register = Register(1);
pub(super) const R2: Register = Register(2);
pub(super) const R3: Register = Register(3);
pub(super) const R4: Register = Register(4);
pub(super) const R6: Register = Register(6);
pub(super) const R7: Register = Register(7);
pub(super) const R8: Register = Register(8);
/// The end of the stack, which grows downwards.
pub(super) const FRAME: Register = Register(10);

/// How many bytes are loaded or stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// One.
    Byte,
    /// Two.
    Half,
    /// Four.
    Word,
    /// Eight.
    Double,
}

impl Width {
    /// The number of bytes.
    pub const fn bytes(self) -> u8 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
            Self::Double => 8,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Word => 0x00,
            Self::Half => 0x08,
            Self::Byte => 0x10,
            Self::Double => 0x18,
        }
    }
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u8,
    /// The destination in the half of lower value, on a little-endian machine.
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    /// Its bytes as they are in memory, in hexadecimal digits.
    pub(super) fn hexadecimal(&self) -> String {
        let [offset_0, offset_1] = self.offset.to_ne_bytes();
        let start = [self.code, self.registers, offset_0, offset_1];
        let bytes = start.into_iter().chain(self.immediate.to_ne_bytes());
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Classes of `linux/bpf_common.h` and `linux/bpf.h`, with their modes.
const LOAD_IMMEDIATE: u8 = 0x18;
const LOAD: u8 = 0x61;
const STORE_IMMEDIATE: u8 = 0x62;
const STORE: u8 = 0x63;
const ADD_IMMEDIATE: u8 = 0x07;
const SUBTRACT: u8 = 0x1f;
/// Of the lower four bytes, without a sign.
const MODULO_IMMEDIATE: u8 = 0x94;
const MOVE_IMMEDIATE: u8 = 0xb7;
const MOVE: u8 = 0xbf;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// The source "register" of a load of an immediate that is a map's descriptor.
const PSEUDO_MAP_FD: Register = Register(1);

const fn op(code: u8, to: Register, from: Register, offset: i16, immediate: i32) -> Instruction {
    let registers =
        if cfg!(target_endian = "little") { to.0 | from.0 << 4 } else { to.0 << 4 | from.0 };
    Instruction { code, registers, offset, immediate }
}

/// A function of the kernel that programs may call, by its number in `linux/bpf.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Helper {
    /// `bpf_map_lookup_elem`
    Lookup = 1,
    /// `bpf_skb_load_bytes`
    LoadBytes = 26,
    /// `bpf_get_socket_cookie`
    Cookie = 46,
    /// `bpf_sk_select_reuseport`
    Select = 82,
}

/// Instructions as they are generated; jumps go forward only.
#[derive(Debug, Default)]
pub(super) struct Assembler(Vec<Instruction>);

/// A jump whose end is not known yet.
#[derive(Debug)]
#[must_use]
pub(super) struct Jump(usize);

impl Assembler {
    pub(super) fn finished(self) -> Vec<Instruction> {
        self.0
    }

    pub(super) fn set(&mut self, to: Register, value: i32) {
        self.0.push(op(MOVE_IMMEDIATE, to, R0, 0, value));
    }

    pub(super) fn copy(&mut self, to: Register, from: Register) {
        self.0.push(op(MOVE, to, from, 0, 0));
    }

    pub(super) fn add(&mut self, to: Register, value: i32) {
        self.0.push(op(ADD_IMMEDIATE, to, R0, 0, value));
    }

    pub(super) fn subtract(&mut self, from: Register, what: Register) {
        self.0.push(op(SUBTRACT, from, what, 0, 0));
    }

    /// The remainder of a division of the lower four bytes.
    pub(super) fn remainder(&mut self, of: Register, by: u32) {
        self.0.push(op(MODULO_IMMEDIATE, of, R0, 0, by as i32));
    }

    pub(super) fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        self.0.push(op(LOAD & !0x18 | width.code(), to, from, offset, 0));
    }

    pub(super) fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        self.0.push(op(STORE & !0x18 | width.code(), to, from, offset, 0));
    }

    pub(super) fn store_value(&mut self, width: Width, to: Register, offset: i16, value: i32) {
        self.0.push(op(STORE_IMMEDIATE & !0x18 | width.code(), to, R0, offset, value));
    }

    /// Loads the address of the map that has this descriptor.
    pub(super) fn load_map(&mut self, to: Register, descriptor: i32) {
        self.0.push(op(LOAD_IMMEDIATE, to, PSEUDO_MAP_FD, 0, descriptor));
        // Eight bytes do not fit: the upper four are a second instruction's.
        self.0.push(op(0, R0, R0, 0, 0));
    }

    /// Loads the address of what is on the stack at `offset`.
    pub(super) fn load_stack_address(&mut self, to: Register, offset: i16) {
        self.copy(to, FRAME);
        self.add(to, offset.into());
    }

    pub(super) fn call(&mut self, helper: Helper) {
        self.0.push(op(CALL, R0, R0, 0, helper as i32));
    }

    /// Looks up the element of a map whose key is on the stack at `key`: register 0 gets the
    /// element's address. The jump is taken if there is none.
    pub(super) fn look_up(&mut self, map: i32, key: i16) -> Jump {
        self.load_map(R1, map);
        self.load_stack_address(R2, key);
        self.call(Helper::Lookup);
        self.jump_if(R0, 0)
    }

    pub(super) fn exit(&mut self) {
        self.0.push(op(EXIT, R0, R0, 0, 0));
    }

    pub(super) fn jump_if(&mut self, register: Register, value: i32) -> Jump {
        self.0.push(op(JUMP_IF_EQUAL, register, R0, 0, value));
        Jump(self.0.len() - 1)
    }

    pub(super) fn jump_unless(&mut self, register: Register, value: i32) -> Jump {
        self.0.push(op(JUMP_UNLESS_EQUAL, register, R0, 0, value));
        Jump(self.0.len() - 1)
    }

    /// Where `jump` ends: at the instruction that comes next.
    pub(super) fn land(&mut self, Jump(at): Jump) {
        self.0[at].offset = (self.0.len() - at - 1) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::of_kernel::{assert_members, constant, size};

    #[test]
    fn layout_of_an_instruction() {
        assert_eq!(size_of::<Instruction>(), size("struct bpf_insn"));
        assert_members!(Instruction, "struct bpf_insn", {
            code: "code", offset: "off", immediate: "imm",
        });
        // The registers are two bit-fields of four bits, the destination first.
        let registers = op(MOVE, R1, R2, 0, 0).registers;
        assert_eq!(registers, if cfg!(target_endian = "big") { 0x12 } else { 0x21 });
    }

    #[test]
    fn layout_of_helpers_numbers() {
        for (helper, name) in [
            (Helper::Lookup, "BPF_FUNC_map_lookup_elem"),
            (Helper::LoadBytes, "BPF_FUNC_skb_load_bytes"),
            (Helper::Cookie, "BPF_FUNC_get_socket_cookie"),
            (Helper::Select, "BPF_FUNC_sk_select_reuseport"),
        ] {
            assert_eq!(helper as i64, constant(name), "{name}");
        }
    }
}
