# Debian packages that iddpm is built from, and installing those that are missing. Sourced.

PACKAGES_PROGRAM="gcc libc6-dev cmake ninja-build pkg-config openmpi-bin libopenmpi-dev libhdf5-openmpi-dev
    libopenblas-dev libyaml-dev libpng-dev libjpeg-dev libwebp-dev liblmdb-dev zlib1g-dev libdeflate-dev libcminpack-dev
    librandom123-dev gnuplot-nox"
PACKAGES_TESTS="libcmocka-dev hdf5-tools libxml2-utils procps strace python3-torch python3-h5py"
PACKAGES_SLURM="slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge"
PACKAGES_AARCH64="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user libgomp1:arm64 libopenblas-dev:arm64
    libyaml-dev:arm64 libcmocka-dev:arm64"

# packages_need PACKAGE...: installs what is missing as root, otherwise says how and fails. Where there is no dpkg it does
# nothing: cmake names what it does not find, with the names that modules and Spack use.
packages_need() {
    command -v dpkg-query >/dev/null || return 0
    local missing=() package architecture
    for package; do # each may be there for several architectures
        architecture=$(dpkg --print-architecture)
        [[ $package != *:* ]] || architecture=${package#*:}
        dpkg-query -W -f='${db:Status-Status} ${Architecture}\n' "$package" 2>/dev/null |
            grep -qxE "installed ($architecture|all)" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "packages are missing; install them with: sudo apt-get install ${missing[*]}" >&2
        return 1
    fi
    echo "installing ${missing[*]}"
    apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
}

# Debian's cross compiler, and libraries of arm64 beside those of this machine.
packages_need_aarch64() {
    if ! dpkg --print-foreign-architectures | grep -qx arm64; then
        [ "$(id -u)" = 0 ] || { echo "first: sudo dpkg --add-architecture arm64" >&2 && return 1; }
        dpkg --add-architecture arm64 || return 1
    fi
    packages_need $PACKAGES_AARCH64
}
