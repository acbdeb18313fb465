//! One self-contained HTML page of headings, charts and tables: no script, no font and no picture from elsewhere.

use minijinja::{AutoEscape, Environment, Value, context};

use super::charts::escape;

/// A page to be rendered.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Heading and tab title.
    pub title: String,
    /// One paragraph below it; may be empty.
    pub lead: String,
    /// In reading order.
    pub sections: Vec<Section>,
}

/// A heading, a paragraph and what follows it.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Plain text.
    pub heading: String,
    /// Plain text; may be empty.
    pub intro: String,
    /// HTML: made by [`charts`], [`table`], or both.
    pub html: String,
}

impl Page {
    /// The whole document.
    pub fn render(&self) -> String {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.add_template("page", include_str!("page.html")).expect("the template is well formed");
        let template = environment.get_template("page").expect("it was just added");
        let (title, lead) = (self.title.as_str(), self.lead.as_str());
        let value = |s: &Section| context! { heading => s.heading.as_str(), intro => s.intro.as_str(), html => s.html.as_str() };
        let sections: Vec<Value> = self.sections.iter().map(value).collect();
        template.render(context! { title, lead, sections, version => env!("CARGO_PKG_VERSION") }).expect("the template uses only these")
    }
}

/// Charts (`<svg>` or a sentence) side by side where the window is wide enough.
pub fn charts(svgs: &[String]) -> String {
    format!("<div class=\"charts\">\n{}</div>", svgs.join(""))
}

/// A table. Columns whose cells all read as numbers are set to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |tag: &str, column: usize, text: &str| {
        let class = if is_numeric(rows, column) { " class=\"number\"" } else { "" };
        format!("<{tag}{class}>{}</{tag}>", escape(text))
    };
    let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        format!("<tr>{}</tr>\n", cells.enumerate().map(|(i, text)| cell(tag, i, text)).collect::<String>())
    };
    let head = line("th", &mut header.iter().copied());
    let body: String = rows.iter().map(|row| line("td", &mut row.iter().map(String::as_str))).collect();
    format!("<div class=\"scroll\"><table>\n<thead>{head}</thead>\n<tbody>{body}</tbody>\n</table></div>")
}

fn is_numeric(rows: &[Vec<String>], column: usize) -> bool {
    let number = |text: &String| text.is_empty() || text == "–" || text.trim_end_matches('%').replace(',', "").parse::<f64>().is_ok();
    !rows.is_empty() && rows.iter().all(|row| row.get(column).is_none_or(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_charts_are_not() {
        let html = table(&["model", "kl"], &[vec!["<a>".into(), "1.5".into()]]) + &charts(&["<svg/>".into()]);
        let section = Section { heading: "A & B".into(), intro: String::new(), html };
        let page = Page { title: "x < y".into(), lead: "l".into(), sections: vec![section] }.render();
        for want in ["<h1>x &lt; y</h1>", "<h2>A &amp; B</h2>", "<td>&lt;a&gt;</td><td class=\"number\">1.5</td>", "<svg/>"] {
            assert!(page.contains(want), "{want} is not in\n{page}");
        }
        for outside in ["http:", "https:", "<script", "src="] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
