# Shared by the steps that tell programs apart, by what `readelf` says of them.
# shellcheck shell=sh
export LC_ALL=C

# The machine of a platform, as `readelf` calls it. Empty for a platform that is not known.
machine_of() {
    case ${1#linux/} in
    amd64*) echo 'Advanced Micro Devices X86-64' ;;
    386*) echo 'Intel 80386' ;;
    arm64*) echo AArch64 ;;
    arm/*) echo ARM ;;
    riscv64*) echo RISC-V ;;
    ppc64le*) echo PowerPC64 ;;
    s390x*) echo 'IBM S/390' ;;
    esac
}

# What a file's own header says: its class and its machine.
kind_of() { readelf -hW "$1" 2>/dev/null | kind_told; }

# Reads `readelf -h`.
kind_told() { awk '/^ *(Class|Machine): / { sub(/^[^:]*: */, ""); printf "%s ", $0 }'; }
