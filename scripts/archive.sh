#!/usr/bin/env bash
# Makes the static library that is installed out of the one that rustc makes: without bitcode and debug information, and
# with only the functions of the header left global, so that two Rust archives can live in one program.
# archive.sh RUSTC_ARCHIVE SYMBOLS OUTPUT
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Bitcode first: binutils with a plugin for another LLVM stumbles over it.
objcopy --strip-debug --remove-section .llvmbc --remove-section .llvmcmd "$1" "$work/stripped.a"
# What no function of the header needs stays out.
mapfile -t roots < <(sed 's/^/--undefined=/' "$2")
ld -r --gc-sections "${roots[@]}" -o "$work/whole.o" "$work/stripped.a"
objcopy --keep-global-symbols="$2" --strip-unneeded --remove-section .group "$work/whole.o" "$work/clerk_auth.o"
ar rcs "$work/out.a" "$work/clerk_auth.o"
mv "$work/out.a" "$3"
