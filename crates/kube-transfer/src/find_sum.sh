# Chooses the program that hashes: `sum`. openssl first: it uses the CPU's SHA instructions, which most builds of sha256sum do
# not.
find_sum() {
    if openssl version >/dev/null 2>&1; then
        sum='openssl dgst -sha256 -r'
    elif command -v sha256sum >/dev/null; then
        sum=sha256sum
    else
        return 1
    fi
}
