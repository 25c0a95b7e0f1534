#!/bin/sh
# Every case, as the runner of the kernel's selftests reads it. Arguments go to `sockmig run`: ids, or
# options such as --long. The exit code is 0, 1, or 4 (KSFT_SKIP) where nothing can run; any other means
# that sockmig failed.
exec "${0%/*}/sockmig" run --format tap13 "$@"
