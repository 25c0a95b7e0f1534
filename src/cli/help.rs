//! What stands after the options in `--help`: examples, and exit codes.

/// Of `sockmig list`.
pub const LIST: &str = "\
Examples:
  sockmig list              every case, with what it does
  sockmig list quiz1 quiz2  those whose ids start so

Exit codes:
  0   they are listed
  2   the command line is wrong
  4   no case has such an id
  69  standard output cannot be written";

/// Of `sockmig explain`.
pub const EXPLAIN: &str = "\
Examples:
  sockmig explain quiz1                teaches the talk's first quiz, and plays it here
  sockmig explain quiz2/v4 --no-run    explains, without running anything
  sockmig explain CVE-2026-46015       what is known of a bug, and of this kernel
  sockmig explain nginx                what its reloads do to connections

Exit codes:
  0    explained, and what was run is as expected (known bugs are)
  1    the kernel deviates
  2    the command line is wrong
  4    no case has such an id, or every one was skipped
  69   the laboratory failed, or standard output cannot be written
  130  interrupted";

/// Of `sockmig doctor`.
pub const DOCTOR: &str = "\
Example:
  sockmig doctor    before a run that skips more than you like

Exit codes:
  0   cases can be run here, perhaps not all of them
  69  there can be no laboratory here, or standard output cannot be written";

/// Of `sockmig kernels` and of what it does but fetching.
pub const KERNELS: &str = "\
Examples:
  sockmig kernels list                which there are, and which are in the cache
  sockmig kernels list --arch arm64   the same for arm64
  sockmig kernels fetch 6.12          makes every 6.12.x ready to boot
  sockmig kernels prune --all         empties the cache

The cache is $SOCKMIG_CACHE, $XDG_CACHE_HOME/sockmig, or ~/.cache/sockmig.

Exit codes:
  0   done
  2   the command line is wrong
  69  the cache cannot be used, or standard output cannot be written";

/// Of `sockmig matrix`.
pub const MATRIX: &str = "\
Examples:
  sockmig matrix quiz1 quiz2                          on every kernel of the list
  sockmig matrix --kernel 6.1 --kernel 6.12 wake-up   on some
  sockmig matrix --kernel arch/x86/boot/bzImage       on one of your own
  sockmig matrix --kernel ./linux --out results       on a User-Mode Linux; keeps everything
  sockmig matrix --arch arm64 --guest-binary FILE     on those for arm64, with a sockmig for arm64";

/// Of `sockmig merge`.
pub const MERGE: &str = "\
Example:
  sockmig merge 1/matrix.json 2/matrix.json --out matrix.json";

/// What the exit codes mean of what is about many kernels.
pub const MATRIX_EXIT_CODES: &str = "\
Exit codes:
  0    as expected (known bugs are)
  1    a case fails, a kernel panics, or its log has a complaint; with --deny-flaky, a
       case is flaky
  2    the command line is wrong
  4    nothing ran: every case was skipped, or no kernel could be fetched
  69   the laboratory failed, a machine hung, died or never booted, a kernel that was
       named cannot be fetched, a shard is missing, or a file cannot be read or written
  130  interrupted";
