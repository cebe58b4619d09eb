#!/usr/bin/env bash
# systemd-analyze 252.39, as Debian 12 has it.
#
# `systemd-analyze verify` prints a key that it does not know, or a value that it cannot read, and exits
# with 0; a program that does not exist makes it exit with 1. So a job that trusts the exit status lets
# through a unit whose setting is ignored. With `--recursive-errors=no`, which changes which units are
# looked at by name, the same files exit with 1.
#
# Seen: unknown key 0, unreadable value 0, missing program 1; with the option 1, 1, 1.
set -euo pipefail
version=252.39-1~deb12u2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq "systemd=$version" "libsystemd-shared=$version" "libsystemd0=$version" libseccomp2 \
    libkmod2 libapparmor1 libcryptsetup12 libfdisk1 libip4tc2 libmount1 libblkid1 libacl1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
LD_LIBRARY_PATH=$(find "$folder/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
export LD_LIBRARY_PATH

printf '[Service]\nExecStart=/bin/true\nRestartSecs=5s\n' >key.service
printf '[Service]\nExecStart=/bin/true\nRestart=sometimes\n' >value.service
printf '[Service]\nExecStart=/bin/there-is-no-such-program\n' >program.service

seen() {
    local unit status statuses=()
    for unit in key value program; do
        status=0
        root/usr/bin/systemd-analyze verify "$@" "./$unit.service" >"$unit.log" 2>&1 || status=$?
        statuses+=("$status")
    done
    echo "${statuses[*]}"
}

plain=$(seen)
grep -q "Unknown key 'RestartSecs'" key.log
grep -q 'sometimes' value.log
strict=$(seen --recursive-errors=no)
echo "plain: $plain; with --recursive-errors=no: $strict"
[ "$plain" = "0 0 1" ] && [ "$strict" = "1 1 1" ]
