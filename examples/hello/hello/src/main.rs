//! Prints a greeting and how long it is.

fn main() {
    let greeting = greeting::greeting("runtime image");
    let mut digits = itoa::Buffer::new();
    println!("{greeting} ({} characters)", digits.format(greeting.chars().count()));
}
