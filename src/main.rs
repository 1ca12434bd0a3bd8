//! The binary: everything is in the library.
fn main() -> std::process::ExitCode {
    apim_agent::cli::main()
}
