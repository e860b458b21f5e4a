//! Tells cargo that the migrations are part of the program: it does not see that
//! a macro reads them.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
