//! The binary: installs the TLS provider and hands over to the command line.

fn main() -> std::process::ExitCode {
    clientnumber::install_crypto_provider();
    clientnumber::cli::main()
}
