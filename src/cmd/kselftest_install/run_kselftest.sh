#!/bin/sh
# Runs the tests of kselftest-list.txt, for machines that do not have the kernel's own script of this
# name. It takes the same options, reads the same `settings`, and prints the same lines.
set -u
cd "$(dirname "$0")" || exit 1
list=kselftest-list.txt
collections= tests= override= dry_run=

usage() {
    cat <<EOF
Usage: $0 [OPTIONS]
  -t | --test COLLECTION:TEST        Run TEST from COLLECTION
  -c | --collection COLLECTION       Run all tests from COLLECTION
  -l | --list                        List the available collection:test entries
  -d | --dry-run                     Only name the tests that would be run
  -o | --override-timeout SECONDS    Instead of the timeout in a collection's settings
  -h | --help                        Show this
EOF
    exit "$1"
}

while [ $# -gt 0 ]; do
    case $1 in
        -t | --test | -c | --collection | -o | --override-timeout) [ $# -ge 2 ] || usage 1 ;;
    esac
    case $1 in
        -t | --test) tests="$tests $2"; shift 2 ;;
        -c | --collection) collections="$collections $2"; shift 2 ;;
        -o | --override-timeout) override=$2; shift 2 ;;
        -l | --list) cat "$list"; exit ;;
        -d | --dry-run) dry_run=yes; shift ;;
        -h | --help) usage 0 ;;
        *) usage 1 ;;
    esac
done

for collection in $collections; do
    found=$(grep "^$collection:" "$list") || { echo "No such collection '$collection'" >&2; exit 1; }
    tests="$tests $found"
done
if [ -z "$tests" ]; then
    tests=$(cat "$list")
fi
for each in $tests; do
    grep -qxF "$each" "$list" || { echo "No such test '$each'" >&2; exit 1; }
done

# What the script of a test is given: KSELFTEST_<NAME>_ARGS, the name in upper case.
arguments_of() {
    name=$(printf %s "$1" | tr -c '[:alnum:]' _ | tr '[:lower:]' '[:upper:]')
    eval "printf %s \"\${KSELFTEST_${name}_ARGS:-}\""
}

exec 4>&1
result=0
run_one() {
    collection=$1 test=$2 number=$3
    seconds=$override
    [ -n "$seconds" ] || seconds=$(sed -n 's/^timeout=//p' "$collection/settings" 2>/dev/null)
    : "${seconds:=45}"
    title="selftests: $collection: $test"
    printf '# timeout set to %s\n# %s\n' "$seconds" "$title"
    # The code of the test, and not that of what puts `# ` before its lines.
    code=$(
        {
            {
                # shellcheck disable=SC2046
                (cd "$collection" && timeout "$seconds" "./$test" $(arguments_of "$test")) 2>&1
                echo $? >&3
            } | sed 's/^/# /' >&4
        } 3>&1
    )
    case $code in
        0) echo "ok $number $title" ;;
        4) echo "ok $number $title # SKIP" ;;
        124) echo "not ok $number $title # TIMEOUT $seconds seconds"; result=1 ;;
        *) echo "not ok $number $title # exit=$code"; result=1 ;;
    esac
}

for collection in $(printf '%s\n' $tests | cut -d: -f1 | sort -u); do
    of_it=$(printf '%s\n' $tests | sed -n "s/^$collection://p")
    if [ -n "$dry_run" ]; then
        printf "$collection:%s\n" $of_it
        continue
    fi
    echo "TAP version 13"
    echo "1..$(printf '%s\n' $of_it | wc -l)"
    number=0
    for test in $of_it; do
        number=$((number + 1))
        run_one "$collection" "$test" "$number"
    done
done
exit "$result"
