//! Charts as SVG text by plotters, scaled by CSS and coloured for light and dark pages (`currentColor`).

use std::ops::Range;

use plotters::prelude::*;

/// Points of one line. Values that are not finite, or of no use to anybody, are left out.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Shown in the legend.
    pub name: String,
    /// (x, y) in drawing order.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// A named line.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name: name.into(), points: points.into_iter().collect() }
    }
}

/// A chart to be drawn; `x` and `y` are the axes' labels, empty for none.
#[derive(Debug, Clone, Default)]
pub struct Chart<'a> {
    /// Above the chart.
    pub title: &'a str,
    /// Below the horizontal axis.
    pub x: &'a str,
    /// Beside the vertical axis.
    pub y: &'a str,
    /// Mark each point with a dot (few points) instead of the line alone.
    pub dots: bool,
}

const SIZE: (u32, u32) = (640, 320);
/// More points than this cannot be told apart at `SIZE`; every k-th is drawn.
const MOST_POINTS: usize = 800;
/// Far beyond any metric; differences of such numbers are still finite.
const LARGEST: f64 = 1e100;
/// Axes that are narrower than this share of their numbers have no ticks between which rounding can tell.
const NARROWEST: f64 = 1e-6;
/// Okabe & Ito 2008: told apart by colour-blind readers, on white and on black.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(140, 140, 60),
];

impl Chart<'_> {
    /// The chart as one `<svg>` element without fixed size; a sentence in its place when there is nothing to draw.
    pub fn svg(&self, series: &[Series]) -> String {
        let series: Vec<Series> = series.iter().map(thinned).filter(|s| !s.points.is_empty()).collect();
        if series.is_empty() {
            return format!("<p>{}: no points.</p>", escape(self.title));
        }
        let mut svg = String::new();
        self.draw(&mut svg, &series).expect("drawing into a string cannot fail");
        adapt(&svg, self.title)
    }

    fn draw(&self, svg: &mut String, series: &[Series]) -> Result<(), Box<dyn std::error::Error>> {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .caption(self.title, ("sans-serif", 16))
            .x_label_area_size(if self.x.is_empty() { 26 } else { 40 })
            .y_label_area_size(if self.y.is_empty() { 52 } else { 66 })
            .build_cartesian_2d(range(series, |p| p.0), range(series, |p| p.1))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.15))
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|v| tick(*v))
            .y_label_formatter(&|v| tick(*v))
            .draw()?;
        for (i, line) in series.iter().enumerate() {
            let colour = PALETTE[i % PALETTE.len()];
            let legend = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2));
            chart.draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?.label(&line.name).legend(legend);
            if self.dots || line.points.len() == 1 {
                chart.draw_series(line.points.iter().map(|&p| Circle::new(p, 3, colour.filled())))?;
            }
        }
        if series.len() > 1 {
            chart.configure_series_labels().border_style(BLACK.mix(0.15)).position(SeriesLabelPosition::UpperRight).draw()?;
        }
        root.present()?;
        Ok(())
    }
}

fn thinned(series: &Series) -> Series {
    let drawable = |value: f64| value.abs() <= LARGEST; // false for NaN
    let finite: Vec<(f64, f64)> = series.points.iter().copied().filter(|&(x, y)| drawable(x) && drawable(y)).collect();
    let stride = finite.len().div_ceil(MOST_POINTS).max(1);
    let last = finite.len().saturating_sub(1);
    Series::new(series.name.clone(), finite.into_iter().enumerate().filter(|(i, _)| i % stride == 0 || *i == last).map(|(_, p)| p))
}

/// From the smallest to the largest value, widened by 4 % so that lines do not touch the frame; never empty.
fn range(series: &[Series], axis: impl Fn(&(f64, f64)) -> f64) -> Range<f64> {
    let values = series.iter().flat_map(|s| &s.points).map(axis);
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let narrow = low.abs().max(high.abs()) * NARROWEST;
    let margin = if high > low { ((high - low) * 0.04).max(narrow) } else { low.abs().max(1.0) * 0.5 };
    low - margin..high + margin
}

fn tick(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e5).contains(&magnitude) {
        format!("{value:.0e}")
    } else {
        let decimals = if magnitude >= 100.0 { 0 } else { 3 };
        let text = format!("{value:.decimals$}");
        if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
    }
}

/// Black becomes the page's text colour, the fixed size goes (the viewBox stays), the title is said to screen readers. An
/// `<svg>` inside HTML needs no namespace, and without it the page holds no address at all.
fn adapt(svg: &str, title: &str) -> String {
    let size = format!("<svg width=\"{}\" height=\"{}\" ", SIZE.0, SIZE.1);
    let opening = format!("<svg class=\"chart\" role=\"img\" aria-label=\"{}\" ", escape(title));
    svg.replacen(&size, &opening, 1).replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1).replace("\"#000000\"", "\"currentColor\"")
}

/// Text as it may stand in HTML, between tags or in a quoted attribute.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(title: &str) -> Chart<'_> {
        Chart { title, ..Chart::default() }
    }

    #[test]
    fn a_chart_is_one_svg_that_takes_the_pages_colour() {
        let svg = chart("loss < 1 & \"falling\"").svg(&[Series::new("a", [(1.0, 2.0), (2.0, 1.0)]), Series::new("b", [(1.0, 1.0)])]);
        assert!(
            svg.starts_with("<svg class=\"chart\" role=\"img\" aria-label=\"loss &lt; 1 &amp; &quot;falling&quot;\" viewBox="),
            "{svg}"
        );
        assert!(svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("currentColor") && !svg.contains("#000000") && !svg.contains("http:"));
        assert!(svg.contains(">\na\n") && svg.contains("#0072B2"), "{svg}");
    }

    #[test]
    fn nothing_to_draw_is_said() {
        assert_eq!(chart("kl").svg(&[Series::new("x", [(1.0, f64::NAN)])]), "<p>kl: no points.</p>");
        assert!(chart("flat").svg(&[Series::new("x", [(1.0, 0.0), (2.0, 0.0)])]).contains("<polyline"));
    }

    #[test]
    fn any_numbers_can_be_drawn() {
        let odd = [f64::MAX, f64::MIN, 1e100, -1e100, 1e16, 1e16 + 2.0, 1.0, 1.0 + f64::EPSILON, f64::MIN_POSITIVE, 5e-324, 0.0, -0.0];
        for a in odd {
            for b in odd {
                let svg = chart("odd").svg(&[Series::new("x", [(1.0, a), (2.0, b)]), Series::new("y", [(a, 1.0), (b, 2.0)])]);
                assert!(svg.len() < 1 << 16 && !svg.contains("NaN"), "{a} {b}: {svg:.2000}");
            }
        }
    }

    #[test]
    fn long_runs_are_thinned_and_keep_their_last_point() {
        let long = thinned(&Series::new("x", (0..10_000).map(|i| (f64::from(i), 0.0))));
        assert!(long.points.len() <= MOST_POINTS + 1);
        assert_eq!(long.points.last(), Some(&(9999.0, 0.0)));
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!([tick(0.0), tick(0.25), tick(-3.0), tick(150.0), tick(2e-5), tick(1e6)], ["0", "0.25", "-3", "150", "2e-5", "1e6"]);
    }
}
