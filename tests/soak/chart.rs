//! Draws samples as SVG.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::process::Sample;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 60.0;

/// Writes the samples as CSV and as two charts.
pub fn write(folder: &Path, samples: &[Sample]) {
    let mut csv = "second,rss_kb,descriptors,threads,requests,median_us,p999_us\n".to_owned();
    for (second, s) in samples.iter().enumerate() {
        let Sample { rss_kb, descriptors, threads, requests, median_us, p999_us } = s;
        let _ = writeln!(csv, "{second},{rss_kb},{descriptors},{threads},{requests},{median_us},{p999_us}");
    }
    fs::write(folder.join("soak.csv"), csv).unwrap();
    let values = |value: fn(&Sample) -> f64| samples.iter().map(value).collect::<Vec<_>>();
    let rss = [("resident memory (MiB)", "#1f77b4", values(|s| s.rss_kb as f64 / 1024.0))];
    fs::write(folder.join("rss.svg"), svg(&rss)).unwrap();
    let latency = [
        ("99.9th percentile of a second (ms)", "#d62728", values(|s| s.p999_us as f64 / 1000.0)),
        ("median (ms)", "#2ca02c", values(|s| s.median_us as f64 / 1000.0)),
    ];
    fs::write(folder.join("latency.svg"), svg(&latency)).unwrap();
}

fn svg(lines: &[(&str, &str, Vec<f64>)]) -> String {
    let highest = lines.iter().flat_map(|(_, _, values)| values).fold(0.001_f64, |max, value| max.max(*value));
    let count = lines.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0).max(2);
    let x = |at: usize| MARGIN + at as f64 / (count - 1) as f64 * (WIDTH - 2.0 * MARGIN);
    let y = |value: f64| HEIGHT - MARGIN / 2.0 - value / highest * (HEIGHT - MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for part in 0..=4 {
        let value = highest * f64::from(part) / 4.0;
        let _ = writeln!(
            out,
            "<line x1=\"{MARGIN}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/><text x=\"4\" y=\"{y:.1}\">{value:.1}</text>",
            WIDTH - MARGIN,
            y = y(value)
        );
    }
    for (row, (name, color, values)) in lines.iter().enumerate() {
        let points: Vec<String> =
            values.iter().enumerate().map(|(at, value)| format!("{:.1},{:.1}", x(at), y(*value))).collect();
        let _ = writeln!(out, "<polyline fill=\"none\" stroke=\"{color}\" points=\"{}\"/>", points.join(" "));
        let top = 14 + row * 14;
        let _ = writeln!(out, "<text x=\"{}\" y=\"{top}\" fill=\"{color}\">{name}</text>", MARGIN + 8.0);
    }
    let _ = writeln!(out, "<text x=\"{}\" y=\"{}\">{count} seconds</text>\n</svg>", WIDTH / 2.0, HEIGHT - 2.0);
    out
}
