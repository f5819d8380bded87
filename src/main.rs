//! The `rowhook` command.

fn main() {}
