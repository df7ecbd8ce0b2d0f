//! The measurements as a picture: a panel for each of the main questions, a bar for each peer.

use crate::results::{Measured, Results};

struct Panel {
    title: &'static str,
    section: &'static str,
    what: &'static str,
}

const PANELS: [Panel; 8] = [
    Panel {
        title: "In flight: enter and leave, one thread",
        section: "in flight",
        what: "1 thread",
    },
    Panel {
        title: "In flight: enter and leave, two threads",
        section: "in flight",
        what: "2 threads",
    },
    Panel {
        title: "A waiting task: memory (two workers)",
        section: "crowd",
        what: "bytes a task, two workers",
    },
    Panel {
        title: "A million tasks: told and gone (two workers)",
        section: "crowd",
        what: "told and gone, two workers",
    },
    Panel { title: "TERM to gone: idle", section: "leaving", what: "idle" },
    Panel { title: "Last answer to gone", section: "leaving", what: "after the last request" },
    Panel {
        title: "TERM to gone: 1,000 idle connections",
        section: "http",
        what: "1,000 idle connections",
    },
    Panel {
        title: "Last answer to gone: 10,000 in flight",
        section: "http",
        what: "10,000 in flight",
    },
];

const COLUMNS: usize = 2;
const WIDTH: usize = 580;
/// For the names.
const LEFT: usize = 220;
/// For the number at the end of the longest bar.
const RIGHT: usize = 80;
const TITLE: usize = 40;
const BAR: usize = 20;
const AXIS: usize = 60;

/// Read on white and on black: nothing is drawn behind, and these are in the middle between them.
const TEXT: &str = "#768390";
const OURS: &str = "#3b82f6";
const OTHERS: &str = "#8b949e";

/// An SVG with whatever was measured.
pub(crate) fn plot(results: &Results) -> String {
    let panels = PANELS.iter().map(|panel| (panel, panel.bars(results)));
    let panels: Vec<_> = panels.filter(|(_, bars)| !bars.is_empty()).collect();
    let (mut body, mut top) = (String::new(), 0);
    for row in panels.chunks(COLUMNS) {
        for (column, (panel, bars)) in row.iter().enumerate() {
            let left = column * WIDTH;
            let panel = panel.drawn(bars);
            body += &format!("<g transform=\"translate({left} {top})\">\n{panel}</g>\n");
        }
        top += TITLE + AXIS + BAR * row.iter().map(|(_, bars)| bars.len()).max().unwrap_or(0);
    }
    let width = COLUMNS * WIDTH;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {top}\" width=\"{width}\" height=\"{top}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"{TEXT}\">\n{body}</svg>\n"
    )
}

impl Panel {
    /// The smallest first.
    fn bars<'a>(&self, results: &'a Results) -> Vec<&'a Measured> {
        let all = results.of(self.section, self.what);
        // Who never leaves has no bar.
        let mut bars: Vec<_> =
            all.filter(|it| it.peer != "empty loop" && it.number.is_finite()).collect();
        bars.sort_by(|one, other| one.number.total_cmp(&other.number));
        bars
    }

    fn drawn(&self, bars: &[&Measured]) -> String {
        let longest = bars.iter().map(|bar| bar.number).fold(0.0, f64::max);
        let step = step(longest);
        let steps = (longest / step).ceil();
        let at = |number: f64| number / (step * steps) * (WIDTH - LEFT - RIGHT) as f64;
        let bottom = TITLE + bars.len() * BAR;
        let mut drawn = text(8.0, 24, "start", true, self.title);
        drawn += &format!("<g transform=\"translate({LEFT} 0)\">\n");
        for tick in 0..=steps as usize {
            let (number, top) = (tick as f64 * step, TITLE - 4);
            let x = at(number);
            drawn += &format!(
                "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"{TEXT}\" stroke-opacity=\".3\"/>\n"
            );
            drawn += &text(x, bottom + 16, "middle", false, &(number as f32).to_string());
        }
        let axis = format!("{}, less is better", in_full(&bars[0].unit));
        drawn += &text(at(step * steps) / 2.0, bottom + 34, "middle", false, &axis);
        for (row, bar) in bars.iter().enumerate() {
            drawn += &drawn_bar(bar, TITLE + row * BAR, at(bar.number));
        }
        drawn + "</g>\n"
    }
}

fn drawn_bar(bar: &Measured, y: usize, length: f64) -> String {
    let ours = is_ours(&bar.peer);
    let (fill, height) = (if ours { OURS } else { OTHERS }, BAR - 6);
    let rect =
        format!("<rect y=\"{y}\" width=\"{length:.1}\" height=\"{height}\" fill=\"{fill}\"/>\n");
    rect + &text(-8.0, y + 11, "end", ours, &bar.peer)
        + &text(length + 6.0, y + 11, "start", ours, &bar.text())
}

fn text(x: f64, y: usize, anchor: &str, is_bold: bool, text: &str) -> String {
    let weight = if is_bold { " font-weight=\"bold\"" } else { "" };
    format!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\"{weight}>{text}</text>\n")
}

/// The distance between ticks: 1, 2 or 5 times a power of ten, so that there are three to seven.
fn step(longest: f64) -> f64 {
    let power = 10_f64.powf((longest / 3.0).log10().floor());
    [5.0, 2.0, 1.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| longest / step >= 3.0)
        .unwrap_or(power)
}

fn in_full(unit: &str) -> &str {
    match unit {
        "B" => "bytes",
        "ms" => "milliseconds",
        "ns" => "nanoseconds",
        other => other,
    }
}

fn is_ours(peer: &str) -> bool {
    peer.starts_with("graceful") || ["guard", "try_guard"].contains(&peer)
}
