//! What a program costs to build: two of one line that differ in the attribute, from nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::{
    rounds::{self, Entrant, Value},
    workspace,
};

/// The same parts of tokio on both sides, those that a service needs.
const PROGRAMS: [(&str, &str, &str); 2] = [
    (
        "#[graceful::main]",
        "graceful::main",
        r#"graceful-runtime = { path = "WORKSPACE/graceful-runtime" }"#,
    ),
    (
        "#[tokio::main]",
        "tokio::main",
        r#"tokio = { version = "1", features = ["rt-multi-thread", "net", "time", "sync", "io-util", "signal", "macros"] }"#,
    ),
];

pub(crate) fn run() {
    let entrants = PROGRAMS.map(|(name, attribute, dependency)| {
        Entrant::new(name, move || {
            let folder = tempfile::tempdir().expect("a folder");
            let manifest = lay_out(folder.path(), attribute, dependency);
            vec![
                Value::new("crates", crates(&manifest), "crates"),
                Value::new("debug build", build(&manifest, &[]), "s"),
                Value::new("release build", build(&manifest, &["--release"]), "s"),
            ]
        })
    });
    rounds::run(3, entrants.into()).print("building");
}

/// A package of its own, with the versions that the workspace has.
fn lay_out(folder: &Path, attribute: &str, dependency: &str) -> PathBuf {
    let package = "[package]\nname = \"hello\"\nversion = \"0.0.0\"\nedition = \"2024\"\n";
    let dependency = dependency.replace("WORKSPACE", &workspace().display().to_string());
    let manifest = format!("{package}\n[workspace]\n\n[dependencies]\n{dependency}\n");
    let program = format!("#[{attribute}]\nasync fn main() {{\n    println!(\"hello\");\n}}\n");
    fs::create_dir(folder.join("src")).expect("a folder");
    fs::write(folder.join("src/main.rs"), program).expect("a file");
    fs::write(folder.join("Cargo.toml"), manifest).expect("a file");
    fs::copy(workspace().join("Cargo.lock"), folder.join("Cargo.lock")).expect("a file");
    folder.join("Cargo.toml")
}

/// How many it depends on.
fn crates(manifest: &Path) -> f64 {
    let mut tree = cargo(manifest, "tree");
    let output = tree.args(["--prefix", "none", "--format", "{p}", "--edges", "normal,build"]);
    let output = output.output().expect("it can be started");
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8_lossy(&output.stdout);
    let name = |line: &str| line.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
    let names: BTreeSet<_> = lines.lines().skip(1).map(name).collect();
    names.len() as f64
}

/// How many seconds it takes, cold.
fn build(manifest: &Path, arguments: &[&str]) -> f64 {
    let target = tempfile::tempdir().expect("a folder");
    let mut build = cargo(manifest, "build");
    let begin = Instant::now();
    let status =
        build.args(arguments).arg("--quiet").arg("--target-dir").arg(target.path()).status();
    let took = begin.elapsed();
    assert!(status.expect("it can be started").success(), "{build:?}");
    took.as_secs_f64()
}

/// Started in the workspace, so that its compiler is used; offline, because a download is no part of a build.
fn cargo(manifest: &Path, command: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace()).args([command, "--offline", "--manifest-path"]).arg(manifest);
    cargo
}
