//! The binary: installs the TLS provider and hands over to the command line.

fn main() {
    clientnumber::install_crypto_provider();
}
