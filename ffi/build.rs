//! Finds DPDK by pkg-config, compiles the shim, and generates the bindings of the shim's header.
//!
//! Whatever is missing is one sentence with the command that installs it, not a compiler's complaint.

use std::env;
use std::fmt::Write as _;
use std::panic;
use std::path::PathBuf;
use std::process;

/// The DPDK releases this crate is written for: the long-term ones. Add a row after running the tests against it.
const SUPPORTED: &[(u32, u32)] = &[(22, 11), (23, 11), (24, 11), (25, 11)];

/// What the shim calls. Drivers are not here: the EAL loads them from DPDK's plugin directory.
const LIBRARIES: &[&str] = &["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_ring", "rte_eal"];

/// The library of its own that logging became, and the first release that has it.
const LOG: (&str, (u32, u32)) = ("rte_log", (23, 11));

/// DPDK structs whose pointers cross between the shim and Rust.
const OPAQUE: &[&str] = &["rte_mbuf", "rte_mempool", "rte_ring"];

const APT: &str = "apt-get install -y libdpdk-dev dpdk libclang-dev clang pkg-config build-essential";

fn main() {
    println!("cargo:rerun-if-changed=shim/shim.h");
    println!("cargo:rerun-if-changed=shim/shim.c");
    println!("cargo:rerun-if-changed=shim/packet.c");
    println!("cargo:rerun-if-changed=shim/symmetric.c");
    let (library, release) = find();
    let flags = flags(&library);
    compile(&flags);
    generate(&flags);
    for path in &library.link_paths {
        println!("cargo:rustc-link-search=native={}", path.display());
    }
    for name in LIBRARIES {
        println!("cargo:rustc-link-lib=dylib={name}");
    }
    let (log, since) = LOG;
    if release >= since {
        println!("cargo:rustc-link-lib=dylib={log}");
    }
    println!("cargo:version={}", library.version);
}

/// Ends the build with a sentence.
fn refuse(sentence: &str) -> ! {
    println!("cargo::error={}", sentence.replace('\n', " "));
    process::exit(1)
}

fn find() -> (pkg_config::Library, (u32, u32)) {
    let library = match pkg_config::Config::new().cargo_metadata(false).probe("libdpdk") {
        Ok(library) => library,
        Err(why) => {
            let why = why.to_string();
            let first = why.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
            refuse(&format!(
                "DPDK was not found by pkg-config ({first}). On Debian: {APT}. A DPDK of your own: put the directory of its \
                 libdpdk.pc into PKG_CONFIG_PATH."
            ))
        }
    };
    let mut parts = library.version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let release = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if !SUPPORTED.contains(&release) {
        let supported = SUPPORTED.iter().fold(String::new(), |mut text, (year, month)| {
            let _ = write!(text, "{}{year}.{month}.x", if text.is_empty() { "" } else { ", " });
            text
        });
        refuse(&format!(
            "DPDK {} is not supported: this crate is written for {supported}. Install one of them (Debian 12: {APT}) or point \
             PKG_CONFIG_PATH to it.",
            library.version
        ));
    }
    (library, release)
}

/// The compiler flags DPDK's headers need: its configuration first, and the least instruction set it was built for.
/// Never the build machine's own: one binary serves all machines of an architecture.
fn flags(library: &pkg_config::Library) -> Vec<String> {
    let mut flags: Vec<String> = library.include_paths.iter().map(|path| format!("-I{}", path.display())).collect();
    flags.extend(["-include".to_owned(), "rte_config.h".to_owned()]);
    match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => flags.push("-march=corei7".to_owned()),
        Ok("aarch64") => flags.push("-march=armv8-a+crc".to_owned()),
        _ => {}
    }
    flags
}

fn compile(flags: &[String]) {
    let mut build = cc::Build::new();
    build.files(["shim/shim.c", "shim/packet.c", "shim/symmetric.c"]).opt_level(3).warnings(true).extra_warnings(true);
    for flag in flags {
        build.flag(flag);
    }
    // DPDK's headers are not ours to mend.
    build.flag_if_supported("-Wno-unused-parameter").flag_if_supported("-Wno-deprecated-declarations");
    if let Err(why) = build.try_compile("fp_shim") {
        refuse(&format!("the DPDK shim did not compile ({why}). If the C compiler is missing, on Debian: {APT}"));
    }
}

fn generate(flags: &[String]) {
    // bindgen looks for libclang at run time and panics when there is none: tell that apart from other failures.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let clang = panic::catch_unwind(bindgen::clang_version);
    panic::set_hook(hook);
    if clang.is_err() {
        refuse(&format!(
            "libclang was not found, and bindgen reads DPDK's headers with it. On Debian: {APT}. Elsewhere: set LIBCLANG_PATH."
        ));
    }
    let bindings = bindgen::Builder::default()
        .header("shim/shim.h")
        .clang_args(flags)
        .use_core()
        .rust_edition(bindgen::RustEdition::Edition2024)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .generate_comments(false)
        .layout_tests(true)
        .derive_default(true)
        .allowlist_function("fp_.*")
        .allowlist_type("fp_.*")
        .allowlist_var("FP_.*")
        // DPDK's own structs are only ever behind a pointer here; their layout is the shim's business.
        .blocklist_type("rte_.*")
        .raw_line(OPAQUE.iter().map(|name| format!("#[repr(C)] pub struct {name} {{ _opaque: [u8; 0] }}")).collect::<String>())
        .generate();
    let bindings = match bindings {
        Ok(bindings) => bindings,
        Err(why) => refuse(&format!("bindgen could not read shim/shim.h: {why}")),
    };
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else { refuse("OUT_DIR is not set: run this through cargo") };
    if let Err(why) = bindings.write_to_file(out.join("bindings.rs")) {
        refuse(&format!("the bindings could not be written to {}: {why}", out.display()));
    }
}
