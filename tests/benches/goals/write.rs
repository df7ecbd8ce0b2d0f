//! From the measurements to the table, and to what is kept of them in the repository.

use std::{fs, path::Path};

use graceful_tests::say;

use crate::{
    plot::plot,
    results::Results,
    table::{costs, table},
    workspace,
};

/// The place in a page where something is written.
struct Place {
    page: &'static str,
    begin: &'static str,
    end: &'static str,
}

const COSTS: Place = Place {
    page: "README.md",
    begin: "<!-- cost: written by scripts/bench -->\n",
    end: "<!-- end of the cost -->\n",
};
const GOALS: Place = Place {
    page: "BENCHMARKS.md",
    begin: "<!-- measured: written by scripts/bench -->\n",
    end: "<!-- end of what was measured -->\n",
};

/// Prints the table.
pub(crate) fn print() {
    say(table(&Results::read()));
}

/// Prints the table, and writes it and the picture; `machine` says where and when this was.
pub(crate) fn keep(machine: &str) {
    let results = Results::read();
    let table = table(&results);
    say(&table);
    for (place, table) in [(COSTS, costs(&results)), (GOALS, table)] {
        let Place { page, begin, end } = place;
        let page = workspace().join(page);
        let text = fs::read_to_string(&page).expect("the page is there");
        let (before, rest) = text.split_once(begin).expect("the page has the marker");
        let (_, after) = rest.split_once(end).expect("the page has the other marker");
        write(&page, &format!("{before}{begin}\n{machine}\n\n{table}\n{end}{after}"));
    }
    write(&workspace().join("docs/benchmarks.svg"), &plot(&results));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
