//! When a guest loads its modules: some at the start, the others when the kernel asks.

use std::fmt::Write;

use harness::guest::modules::normal;

use crate::boot::modules::{AT_START, Info};

/// Modules and what they say of themselves, in an order in which they can be loaded.
#[derive(Debug, Default)]
pub struct LoadOrder {
    modules: Vec<(String, Info)>,
}

impl LoadOrder {
    /// Adds a module, after those that it needs.
    pub fn add(&mut self, name: &str, info: Info) {
        self.modules.push((name.to_owned(), info));
    }

    /// What is loaded at the start, a name a line, in order.
    pub fn at_start(&self) -> String {
        let needed = self.with_needs(&AT_START);
        needed.iter().map(|name| format!("{name}\n")).collect()
    }

    /// What the kernel may ask for: a line for each alias, of the alias and the modules to
    /// load for it in order. Patterns are left out; they are of hardware that is there when
    /// the machine starts.
    pub fn aliases(&self) -> String {
        let mut lines = String::new();
        for (name, info) in &self.modules {
            let modules = self.with_needs(&[name]).join(" ");
            let aliases = info.aliases.iter().filter(|alias| !alias.contains('*'));
            for alias in aliases.chain([name]) {
                let _ = writeln!(lines, "{} {modules}", normal(alias));
            }
        }
        lines
    }

    /// Those of `wanted` that are there, and what they need, in order.
    fn with_needs(&self, wanted: &[&str]) -> Vec<&str> {
        let mut needed: Vec<&str> = wanted.to_vec();
        // What a module needs comes before it, so that going through them once, from the
        // end, finds everything.
        for (name, info) in self.modules.iter().rev() {
            if needed.contains(&name.as_str()) {
                needed.extend(info.depends.iter().chain(&info.wishes).map(String::as_str));
            }
        }
        let names = self.modules.iter().map(|(name, _)| name.as_str());
        names.filter(|name| needed.contains(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::LoadOrder;
    use crate::boot::modules::Info;

    fn order() -> LoadOrder {
        let mut order = LoadOrder::default();
        let modules: [(&str, &[&str], &[&str]); 6] = [
            ("nfnetlink", &[], &["net-pf-16-proto-12"]),
            ("nf_tables", &["nfnetlink"], &["nfnetlink-subsys-10"]),
            ("nf_conntrack", &[], &[]),
            ("nft_ct", &["nf_tables", "nf_conntrack"], &["nft-expr-ct"]),
            ("virtio_pci", &[], &["pci:v00001AF4d*"]),
            ("tun", &[], &["char-major-10-200", "devname:net/tun"]),
        ];
        for (name, depends, aliases) in modules {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let info = Info { depends: owned(depends), aliases: owned(aliases), ..Info::default() };
            order.add(name, info);
        }
        order
    }

    #[test]
    fn ports_and_gate_are_loaded_at_the_start() {
        assert_eq!(order().at_start(), "nfnetlink\nnf_tables\nvirtio_pci\n");
    }

    #[test]
    fn for_an_alias_everything_is_loaded_that_its_module_needs() {
        assert_eq!(
            order().aliases(),
            "net_pf_16_proto_12 nfnetlink\n\
             nfnetlink nfnetlink\n\
             nfnetlink_subsys_10 nfnetlink nf_tables\n\
             nf_tables nfnetlink nf_tables\n\
             nf_conntrack nf_conntrack\n\
             nft_expr_ct nfnetlink nf_tables nf_conntrack nft_ct\n\
             nft_ct nfnetlink nf_tables nf_conntrack nft_ct\n\
             virtio_pci virtio_pci\n\
             char_major_10_200 tun\n\
             devname:net/tun tun\n\
             tun tun\n"
        );
    }
}
