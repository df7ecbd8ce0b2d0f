//! From the measurements to the table, and to what is kept of them in the repository.

use std::{fs, path::Path};

use graceful_tests::say;

use crate::{plot::plot, results::Results, table::table, workspace};

const BEGIN: &str = "<!-- measured: written by ./bench -->\n";
const END: &str = "<!-- end of what was measured -->\n";

/// Prints the table.
pub(crate) fn print() {
    say(table(&Results::read()));
}

/// Prints the table, and writes it and the picture; `machine` says where and when this was.
pub(crate) fn keep(machine: &str) {
    let results = Results::read();
    let table = table(&results);
    say(&table);
    for page in ["README.md", "BENCHMARKS.md"] {
        let page = workspace().join(page);
        let text = fs::read_to_string(&page).expect("the page is there");
        let (before, rest) = text.split_once(BEGIN).expect("the page has the marker");
        let (_, after) = rest.split_once(END).expect("the page has the other marker");
        write(&page, &format!("{before}{BEGIN}\n{machine}\n\n{table}\n{END}{after}"));
    }
    write(&workspace().join("docs/benchmarks.svg"), &plot(&results));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
