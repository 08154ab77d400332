//! Prints the folder of the driver for tests.

#[allow(clippy::print_stdout)]
fn main() {
    println!("{}", mimi_cuda_testing::driver_folder().display());
}
