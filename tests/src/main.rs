//! The `heirloom` command under another name, so that cargo builds it before the
//! tests of this package and tells them where it is. It is one call, the same as
//! in `crates/cli/src/main.rs`: nothing else may be added here.

fn main() -> std::process::ExitCode {
    heirloom_cli::main()
}
