//! The few plots that the page needs, as SVG.

use std::fmt::Write as _;

const COLORS: [&str; 7] =
    ["#0b6e8a", "#c8553d", "#7a9e3f", "#8d6a9f", "#d9a441", "#5b6770", "#b0a8a0"];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 40.0;

fn frame(title: &str, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"15\" font-weight=\"600\">{title}</text>\n{body}</svg>\n"
    )
}

fn height_of(value: f64, least: f64, most: f64) -> f64 {
    let part = ((value - least) / (most - least)).clamp(0.0, 1.0);
    HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
}

fn grid(body: &mut String, least: f64, most: f64, digits: usize) {
    for line in 0..=4 {
        let value = least + (most - least) * f64::from(line) / 4.0;
        let y = height_of(value, least, most);
        let right = WIDTH - RIGHT;
        let _ = writeln!(
            body,
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
}

/// Bars: for each group one of each model; no bar where there is no value.
pub(crate) fn bars(
    title: &str,
    groups: &[String],
    models: &[(String, Vec<Option<f64>>)],
) -> String {
    let values = models.iter().flat_map(|(_, values)| values.iter().flatten());
    let most = values.fold(1.0_f64, |most, value| most.max(*value)).mul_add(1.05, 0.0);
    let mut body = String::new();
    grid(&mut body, 0.0, most, 2);
    let wide = (WIDTH - LEFT - RIGHT) / groups.len() as f64;
    let bar = 0.84 * wide / models.len() as f64;
    for (place, group) in groups.iter().enumerate() {
        let from = LEFT + wide * place as f64;
        let (middle, under) = (from + wide / 2.0, HEIGHT - BOTTOM + 20.0);
        let _ = writeln!(
            body,
            "<text x=\"{middle:.1}\" y=\"{under}\" text-anchor=\"middle\">{group}</text>"
        );
        for (k, (name, values)) in models.iter().enumerate() {
            let Some(value) = values[place] else { continue };
            let (x, y) = (from + 0.08 * wide + bar * k as f64, height_of(value, 0.0, most));
            let _ = writeln!(
                body,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\">\
                 <title>{name}, {group}: {value:.3}</title></rect>",
                0.9 * bar,
                HEIGHT - BOTTOM - y,
                COLORS[k % COLORS.len()]
            );
        }
    }
    let one = height_of(1.0, 0.0, most);
    let _ = writeln!(
        body,
        "<path d=\"M{LEFT} {one:.1}H{}\" stroke=\"#222\" stroke-dasharray=\"4 3\"/>",
        WIDTH - RIGHT
    );
    legend(&mut body, models.iter().map(|(name, _)| name.as_str()));
    frame(title, &body)
}

fn legend<'a>(body: &mut String, names: impl Iterator<Item = &'a str>) {
    let mut x = LEFT;
    for (k, name) in names.enumerate() {
        let _ = writeln!(
            body,
            "<rect x=\"{x:.1}\" y=\"32\" width=\"10\" height=\"10\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"41\">{name}</text>",
            COLORS[k % COLORS.len()],
            x + 14.0
        );
        x += 26.0 + 7.2 * name.len() as f64;
    }
}

/// A dot for each value in each group, with the band that was promised.
pub(crate) fn dots(
    title: &str,
    groups: &[(String, Vec<f64>)],
    range: (f64, f64),
    band: (f64, f64),
) -> String {
    let (least, most) = range;
    let mut body = String::new();
    let (high, low) = (height_of(band.1, least, most), height_of(band.0, least, most));
    let across = WIDTH - LEFT - RIGHT;
    let _ = writeln!(
        body,
        "<rect x=\"{LEFT}\" y=\"{high:.1}\" width=\"{across}\" height=\"{:.1}\" fill=\"#dcebef\"/>",
        low - high
    );
    grid(&mut body, least, most, 2);
    let wide = across / groups.len() as f64;
    for (place, (name, values)) in groups.iter().enumerate() {
        let from = LEFT + wide * place as f64;
        let (middle, under) = (from + wide / 2.0, HEIGHT - BOTTOM + 20.0);
        let _ = writeln!(
            body,
            "<text x=\"{middle:.1}\" y=\"{under}\" text-anchor=\"middle\">{name}</text>"
        );
        for (k, value) in values.iter().enumerate() {
            let x = from + wide * (0.1 + 0.8 * (k as f64 + 0.5) / values.len() as f64);
            let y = height_of(*value, least, most);
            let _ = writeln!(
                body,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\" fill=\"{}\" fill-opacity=\"0.8\"/>",
                COLORS[0]
            );
        }
    }
    frame(title, &body)
}

/// What is known, what came, and what was said of it: median with bands of 95% and 50%.
#[derive(Debug, Default)]
pub(crate) struct Fan {
    pub(crate) known: Vec<Option<f64>>,
    pub(crate) came: Vec<Option<f64>>,
    /// At levels 0.025, 0.25, 0.5, 0.75 and 0.975.
    pub(crate) said: Vec<[f64; 5]>,
}

pub(crate) fn fan(title: &str, fan: &Fan) -> String {
    let all = fan.known.iter().chain(&fan.came).flatten().copied();
    let most = all.chain(fan.said.iter().map(|said| said[4])).fold(0.0_f64, f64::max) * 1.05;
    let count = (fan.known.len() + fan.came.len()).max(2) - 1;
    let x = |step: usize| LEFT + (WIDTH - LEFT - RIGHT) * step as f64 / count as f64;
    let mut body = String::new();
    grid(&mut body, 0.0, most, 0);
    let start = fan.known.len();
    for (low, high, fill) in [(0, 4, "#d3e6ec"), (1, 3, "#a5cbd7")] {
        let point = |(k, value): (usize, f64)| {
            format!("{:.1} {:.1}", x(start + k), height_of(value, 0.0, most))
        };
        let upper = fan.said.iter().map(|said| said[high]).enumerate().map(point);
        let lower = fan.said.iter().map(|said| said[low]).enumerate().rev().map(point);
        let points: Vec<String> = upper.chain(lower).collect();
        let _ = writeln!(body, "<polygon points=\"{}\" fill=\"{fill}\"/>", points.join(" "));
    }
    let medians: Vec<_> = fan.said.iter().map(|said| Some(said[2])).collect();
    for (values, from, color) in
        [(&fan.known, 0, "#5b6770"), (&fan.came, start, COLORS[1]), (&medians, start, COLORS[0])]
    {
        let mut path = String::new();
        let mut pen = 'M';
        for (k, value) in values.iter().enumerate() {
            let Some(value) = value else {
                pen = 'M';
                continue;
            };
            let _ = write!(path, "{pen}{:.1} {:.1}", x(from + k), height_of(*value, 0.0, most));
            pen = 'L';
        }
        let _ = writeln!(
            body,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.4\"/>"
        );
    }
    legend(&mut body, ["median, with 50% and 95%", "what came"].into_iter());
    frame(title, &body)
}
