//! The `heirloom` command; everything is in the library beside it.

fn main() -> std::process::ExitCode {
    heirloom_cli::main()
}
