//! The imports of `graceful-runtime`: from a folder only to folders below it, and never in a circle, also not between the files of one folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The folders from bottom to top. Those of one line do not import each other.
const LAYERS: [&[&str]; 9] = [
    &["model"],
    &["os"],
    &["sync"],
    &["tracking"],
    &["program"],
    &["driver", "handle"],
    &["launch"],
    &["tower"],
    &["http"],
];

/// What the features use of the layers below `handle`, beside `model`. They stand on the public handle.
const OF_FEATURES: [(&str, &[&str]); 2] =
    [("tower", &["tracking::label"]), ("http", &["os::mutex", "os::sys"])];

/// The text of each module, by its path, such as `sync::pool`.
type Modules = BTreeMap<String, String>;

#[test]
fn imports_only_go_down_and_make_no_circle() {
    let faults = faults(&sources());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_arrow_that_goes_up_is_found() {
    for planted in [
        "use crate::{os::mutex, program::state::Program};",
        "fn f() { crate::driver::progress::tick() }",
        "use crate::program::{current, log::{self, entered}};",
    ] {
        let mut modules = sources();
        modules.get_mut("sync::pool").expect("a module").push_str(planted);
        let faults = faults(&modules);
        assert!(faults.iter().any(|fault| fault.contains("sync::pool")), "{planted}: {faults:?}");
    }
}

#[test]
fn a_feature_that_reaches_below_the_handle_is_found() {
    let mut modules = sources();
    let planted = "use crate::tracking::tracker::Tracker;";
    modules.get_mut("http::accept").expect("a module").push_str(planted);
    let faults = faults(&modules);
    assert!(faults.iter().any(|fault| fault.starts_with("deep: http::accept")), "{faults:?}");
}

#[test]
fn a_circle_of_two_files_is_found() {
    let mut modules = sources();
    modules.get_mut("os::mutex").expect("a module").push_str("use super::thread_index;");
    let faults = faults(&modules);
    assert!(faults.iter().any(|fault| fault.starts_with("circle")), "{faults:?}");
}

fn faults(modules: &Modules) -> Vec<String> {
    let arrows = arrows(modules);
    let up = arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
    let up = up.filter(|(from, to)| is_up(from, to));
    let mut faults: Vec<_> = up.map(|(from, to)| format!("up: {from} imports {to}")).collect();
    let all = arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
    let deep = all.filter(|(from, to)| is_too_deep(from, to));
    faults.extend(deep.map(|(from, to)| format!("deep: {from} imports {to}")));
    faults.extend(arrows.keys().filter_map(|module| circle(module, &arrows)));
    faults
}

fn is_too_deep(from: &str, to: &str) -> bool {
    let is_in = |module: &str, folder: &str| module.split("::").next() == Some(folder);
    OF_FEATURES.iter().any(|(feature, allowed)| {
        let above = ["model", "handle", "tower", "http"];
        is_in(from, feature)
            && !above.iter().any(|folder| is_in(to, folder))
            && !allowed.contains(&to)
    })
}

fn is_up(from: &str, to: &str) -> bool {
    let folder = |module: &str| module.split("::").next().map(str::to_owned).unwrap_or_default();
    let rank = |folder: &str| {
        let layer = LAYERS.iter().position(|layer| layer.contains(&folder));
        layer.unwrap_or_else(|| panic!("{folder} is in no layer"))
    };
    let (from, to) = (folder(from), folder(to));
    from != to && rank(&to) >= rank(&from)
}

/// A way from a module back to itself.
fn circle(module: &str, arrows: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![vec![module]]);
    while let Some(way) = open.pop() {
        for next in arrows.get(*way.last()?).into_iter().flatten() {
            let longer = [way.as_slice(), &[next]].concat();
            if next == module {
                return Some(format!("circle: {}", longer.join(" -> ")));
            }
            if seen.insert(next) {
                open.push(longer);
            }
        }
    }
    None
}

/// Which modules each module imports.
fn arrows(modules: &Modules) -> BTreeMap<String, BTreeSet<String>> {
    let imports = |(module, text): (&String, &String)| {
        let paths = paths(text).into_iter().filter_map(|path| resolve(&path, module, modules));
        (module.clone(), paths.filter(|path| path != module).collect())
    };
    modules.iter().map(imports).collect()
}

/// The module that a path leads to, if it is one of this crate.
fn resolve(path: &str, from: &str, modules: &Modules) -> Option<String> {
    let parent = from.rsplit_once("::").map_or("", |(parent, _)| parent);
    let (base, rest) = path.split_once("::")?;
    let full = match base {
        "crate" => rest.to_owned(),
        "super" => format!("{parent}::{rest}"),
        "self" => format!("{from}::{rest}"),
        _ => return None,
    };
    let mut full = full.trim_start_matches("::");
    while !modules.contains_key(full) {
        full = full.rsplit_once("::")?.0;
    }
    Some(full.to_owned())
}

/// All paths that begin with `crate`, `super` or `self`, with what is in braces written out.
fn paths(text: &str) -> Vec<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code = text.lines().filter(is_code).collect::<Vec<_>>().join("\n");
    let begins = ["crate::", "super::", "self::"];
    let found = begins.iter().flat_map(|begin| code.match_indices(begin));
    let is_begin =
        |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    found.filter(|&(at, _)| is_begin(at)).flat_map(|(at, _)| written_out(&code[at..]).0).collect()
}

/// The paths of a tree of imports such as `a::{b, c::d}`, and what follows it.
fn written_out(text: &str) -> (Vec<String>, &str) {
    let text = text.trim_start();
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(rest) = rest.strip_prefix("::") else { return (vec![name.to_owned()], rest) };
    let (below, rest) = match rest.strip_prefix('{') {
        Some(list) => list_of(list),
        None => written_out(rest),
    };
    (below.into_iter().map(|path| format!("{name}::{path}")).collect(), rest)
}

fn list_of(mut text: &str) -> (Vec<String>, &str) {
    let mut all = Vec::new();
    loop {
        text = text.trim_start_matches([',', ' ', '\n']);
        if let Some(rest) = text.strip_prefix('}') {
            return (all, rest);
        }
        let (paths, rest) = written_out(text);
        all.extend(paths);
        // Past another name that is given.
        text = &rest[rest.find([',', '}']).expect("a list ends")..];
    }
}

/// Without the tests in them.
fn sources() -> Modules {
    let mut modules = Modules::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../graceful-runtime/src");
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let inside = path.strip_prefix(&root).expect("inside").with_extension("");
            let name = inside.to_str().expect("a name").replace('/', "::");
            let name = name.trim_end_matches("::mod");
            if path.is_dir() {
                open.push(path);
            } else if name != "lib" && !name.ends_with("::tests") && !name.ends_with("::stress") {
                let text = fs::read_to_string(&path).expect("a text");
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                modules.insert(name.to_owned(), code.to_owned());
            }
        }
    }
    modules
}
