//! Tells the linker to leave out what a release binary never uses: 140 KiB of 1 MiB.
//!
//! The release profile aborts on panic, so nothing ever unwinds and the unwind tables, which come with the standard
//! library whether wanted or not, are dead weight. Test and debug builds unwind and keep theirs.

use std::path::PathBuf;

fn main() {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let script = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("cross/no-unwind.ld");
    println!("cargo:rerun-if-changed={}", script.display());
    println!("cargo:rerun-if-changed=cross/build.rs");
    // Should somebody force panic=unwind on a release build, a panic finds no tables and aborts, as it must.
    if var("PROFILE") == "release" && var("CARGO_CFG_TARGET_OS") == "linux" && var("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
        // Relative relocations packed into a bitmap. Needs glibc 2.36 (2022) where it runs.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
