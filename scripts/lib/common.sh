# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2034
#
# What scripts/* share: telling steps, installing Debian packages, building. Sourced, never run.

export LC_ALL=C
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# What each purpose needs, as Debian 12 packages.
packages_build=(gcc libc6-dev meson ninja-build pkg-config libdpdk-dev libnuma-dev systemtap-sdt-dev python3
	dpdk dpdk-dev)
packages_guest=(qemu-system-x86 busybox-static lz4 xz-utils iproute2 ethtool iputils-ping)
packages_test=(libcmocka-dev libasan8 libubsan1 clang-format codespell shellcheck git bpftrace babeltrace2)

if [ -t 1 ]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'; else bold='' green='' red='' plain=''; fi

title() { printf '%s%s%s\n' "$bold" "$*" "$plain"; }
done_step() { printf '  %s✓%s %s\n' "$green" "$plain" "$*"; }
fail() {
	printf '  %s✗%s %s\n' "$red" "$plain" "$1" >&2
	shift
	[ $# -eq 0 ] || printf '    %s\n' "$@" >&2
	exit 1
}

# run_logged LOG "what it does" COMMAND...: silent when it works; else says what failed, the last lines and the log.
run_logged() {
	local log=$1 what=$2
	shift 2
	if ! "$@" >"$log" 2>&1 </dev/null; then
		tail -n 15 "$log" | sed 's/^/    | /' >&2
		fail "$what failed: $*" "the whole log: $log"
	fi
}

# help_if_wanted SCRIPT ARGUMENT...: for -h and --help, the comment at the script's head
help_if_wanted() {
	local script=$1
	case ${2:-} in -h | --help) ;; *) return 0 ;; esac
	sed -n '4,/^[^#]/ { /^#/ s/^# \{0,1\}//p }' "$script"
	exit 0
}

need_root() {
	[ "$(id -u)" -eq 0 ] ||
		fail "$1 must be run as root (network namespaces, packet sockets, packages)" "try: sudo $1"
}

# log_dir: a directory for logs that outlive the script
log_dir() {
	mkdir -p "$root/build-logs" && echo "$root/build-logs"
}

missing_packages() {
	local p
	for p in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || echo "$p"
	done
}

# apt-get update, once; the lists may be missing altogether on a fresh machine
refresh_package_lists() {
	[ -z "${lists_fresh:-}" ] || return 0
	run_logged "$(log_dir)/apt-update.log" "refreshing the package lists" apt-get -q update
	lists_fresh=yes
}

# install_packages PACKAGE...: what is missing of them, nothing if all are there
install_packages() {
	local missing
	mapfile -t missing < <(missing_packages "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || fail "these packages are missing, and this is not Debian: ${missing[*]}"
	[ "$(id -u)" -eq 0 ] || fail "these packages are missing: ${missing[*]}" \
		"as root: apt-get install --no-install-recommends ${missing[*]}"
	printf '  … installing %d packages: %s\n' "${#missing[@]}" "${missing[*]}"
	refresh_package_lists
	run_logged "$(log_dir)/apt-install.log" "installing packages" \
		env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"
}

# hand_back FILE...: under sudo, what was built belongs to the person who typed it
hand_back() {
	local path
	[ -n "${SUDO_UID:-}" ] || return 0
	for path in "$@"; do [ ! -e "$path" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$path"; done
}

# build DIRECTORY [MESON-OPTION...]: sets it up when it is new or its options changed, then builds
build() {
	local dir=$1 log
	shift
	log=$(log_dir)/$(basename "$dir").log
	if [ ! -f "$dir/build.ninja" ]; then
		run_logged "$log" "configuring $dir" meson setup "$@" "$dir" "$root"
	elif [ $# -gt 0 ]; then
		run_logged "$log" "configuring $dir" meson configure "$dir" "$@"
	fi
	run_logged "$log" "building $dir" ninja -C "$dir"
	hand_back "$dir" "$(log_dir)"
}
