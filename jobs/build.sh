# Configuring and compiling, for quickstart.sh, tests/run.sh and .ci/run. Sourced; works in the folder of CMakeLists.txt.

# build FOLDER TARGET FLAG...: FLAGs are those of cmake; quiet unless something is wrong.
build() {
    command -v ninja >/dev/null && export CMAKE_GENERATOR=Ninja # only new folders ask for it
    cmake -S . -B "$1" "${@:3}" >/dev/null && cmake --build "$1" --target "$2" --parallel "$(nproc)" -- --quiet
}
