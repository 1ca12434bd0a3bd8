//! The binary: everything is in the library.

/// Whatever is freed is wiped: the HTTP stack, TLS and the SDK hold tokens in buffers that are not ours to zero.
#[global_allocator]
static WIPING: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> std::process::ExitCode {
    apim_agent::cli::main()
}
