//! The servers' files that this program has in it.

use super::strategy;
use crate::server_file::Definition;
use crate::server_file::fault;
use crate::strategy::Strategy;

/// Ids, in the order of tables, and the files' texts.
pub(crate) const SHIPPED: &[(&str, &str)] = &[
    ("nginx/hup", include_str!("../../data/nginx/hup.toml")),
    ("nginx/shrink", include_str!("../../data/nginx/shrink.toml")),
    ("nginx/upgrade", include_str!("../../data/nginx/upgrade.toml")),
    ("haproxy/sf", include_str!("../../data/haproxy/sf.toml")),
    ("haproxy/x", include_str!("../../data/haproxy/x.toml")),
    ("haproxy/shards", include_str!("../../data/haproxy/shards.toml")),
    ("apache/graceful", include_str!("../../data/apache/graceful.toml")),
    ("apache/mixed", include_str!("../../data/apache/mixed.toml")),
    ("apache/no-buckets", include_str!("../../data/apache/no-buckets.toml")),
    ("gunicorn/hup", include_str!("../../data/gunicorn/hup.toml")),
    ("gunicorn/ttou", include_str!("../../data/gunicorn/ttou.toml")),
    ("gunicorn/shared", include_str!("../../data/gunicorn/shared.toml")),
    ("gunicorn/max-requests", include_str!("../../data/gunicorn/max-requests.toml")),
    ("uvicorn/rotate", include_str!("../../data/uvicorn/rotate.toml")),
    ("hypercorn/rotate", include_str!("../../data/hypercorn/rotate.toml")),
    ("granian/hup", include_str!("../../data/granian/hup.toml")),
    ("puma/phased", include_str!("../../data/puma/phased.toml")),
    ("puma/restart", include_str!("../../data/puma/restart.toml")),
    ("node/cluster", include_str!("../../data/node/cluster.toml")),
    ("node/reuseport", include_str!("../../data/node/reuseport.toml")),
    ("caddy/reload", include_str!("../../data/caddy/reload.toml")),
    ("lighttpd/usr1", include_str!("../../data/lighttpd/usr1.toml")),
    ("envoy/hot-restart", include_str!("../../data/envoy/hot-restart.toml")),
    ("envoy/shrink", include_str!("../../data/envoy/shrink.toml")),
    ("systemd/restart", include_str!("../../data/systemd/restart.toml")),
];

/// Their ways of reloading.
pub(crate) fn strategies() -> Vec<Strategy> {
    SHIPPED.iter().map(|(id, text)| strategy(definition(id, text))).collect()
}

/// A file of this program's own, in which nothing is wrong.
fn definition(id: &str, text: &str) -> Definition {
    let file = fault::read(text).unwrap_or_default();
    Definition { id: id.to_owned(), here: "/".into(), file }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn files(in_directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(in_directory).expect("a directory").flatten();
        entries
            .flat_map(|entry| match entry.path() {
                path if path.is_dir() => files(&path),
                path => vec![path],
            })
            .collect()
    }

    #[test]
    fn nothing_is_wrong_with_any_file() {
        for (id, text) in SHIPPED {
            if let Err(faults) = fault::read(text) {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                panic!("{id}: {}", faults.join("; "));
            }
        }
    }

    #[test]
    fn every_file_has_its_id_and_every_id_its_file() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let id = |path: PathBuf| {
            let path = path.strip_prefix(&data).expect("within").with_extension("");
            path.display().to_string()
        };
        let there: BTreeSet<String> = files(&data).into_iter().map(id).collect();
        let mut shipped: BTreeSet<String> =
            SHIPPED.iter().map(|(id, _)| (*id).to_owned()).collect();
        shipped.insert("example".into());
        assert_eq!(there, shipped);
    }

    #[test]
    fn every_file_tells_what_a_reload_does_and_how_to_get_the_server() {
        for strategy in strategies() {
            let file = &strategy.definition().expect("a file").file;
            assert!(!file.install.is_empty() && !file.does.is_empty(), "{}", strategy.id);
        }
    }
}
