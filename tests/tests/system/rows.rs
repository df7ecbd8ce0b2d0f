//! The rows that comments name, such as `D18`, are those of `tests/ROWS.md`, and the tests that are named there exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn each_row_is_in_the_document_and_has_a_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(tests.join("ROWS.md")).expect("the document");
    let workspace = tests.parent().expect("the workspace");
    let sources: Vec<_> = ["tests", "graceful-runtime", "graceful-macros", "examples"]
        .into_iter()
        .flat_map(|package| sources(&workspace.join(package)))
        .map(|file| fs::read_to_string(file).expect("a text"))
        .collect();
    assert!(sources.len() > 100, "{} files are too few", sources.len());
    assert_eq!(mistakes(&document, &sources), Vec::<String>::new());
}

#[test]
fn a_row_without_a_document_or_a_test_is_found() {
    let document = "| row | what must hold | shown by |\n\
                    | A01 | is no row, for want of a letter | `none` |\n\
                    | B01 | it holds | `it_holds`, `also_that` |\n\
                    | B02 | nobody shows it | `it_holds` |\n\
                    | B03 | it names no test | somebody |\n";
    let source = "/// B01 B03 and B077 or XB08: it holds, P20. (W03)\nfn it_holds() { B09() }\n";
    let expected = [
        "B01: there is no test `also_that`",
        "B02 is in the document, and in no comment",
        "B03 has no test in the document",
        "P20 is in a comment, and not in the document",
        "W03 is in a comment, and not in the document",
    ];
    assert_eq!(mistakes(document, &[source.to_owned()]), expected);
}

/// What does not fit together, sorted.
fn mistakes(document: &str, sources: &[String]) -> Vec<String> {
    let lines = || sources.iter().flat_map(|source| source.lines()).map(str::trim_start);
    let named: BTreeSet<_> = lines()
        .filter(|line| line.starts_with("//"))
        .flat_map(words)
        .filter(|id| is_row(id))
        .collect();
    let functions: BTreeSet<_> = lines().filter_map(function).collect();
    let (mut mistakes, mut rows) = (Vec::new(), BTreeSet::new());
    for line in document.lines() {
        let [_, id, _, tests, _] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            continue;
        };
        if !is_row(id) {
            continue;
        }
        rows.insert(id);
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            mistakes.push(format!("{id} has no test in the document"));
        }
        let missing = tests.into_iter().filter(|test| !functions.contains(test));
        mistakes.extend(missing.map(|test| format!("{id}: there is no test `{test}`")));
    }
    let unused = rows.difference(&named);
    mistakes.extend(unused.map(|id| format!("{id} is in the document, and in no comment")));
    let unknown = named.difference(&rows);
    mistakes.extend(unknown.map(|id| format!("{id} is in a comment, and not in the document")));
    mistakes.sort();
    mistakes
}

/// Whether it is a letter of one of the tables, and two digits.
fn is_row(word: &str) -> bool {
    let is_letter = |letter: &u8| b"BCDGPRUW".contains(letter);
    matches!(word.as_bytes(), [letter, digits @ ..]
        if is_letter(letter) && digits.len() == 2 && digits.iter().all(u8::is_ascii_digit))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The name of the function that begins in this line.
fn function(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    words(rest).next()
}

/// All files of Rust below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.append(&mut sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
