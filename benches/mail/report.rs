use std::{collections::BTreeMap, fmt};

use crate::{COMPARED, subject::Kind};

/// The figures of one run of one subject, by title, in the order in which they were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<(&'static str, f64)>);

impl Figures {
    pub(crate) fn push(&mut self, title: &'static str, figure: f64) {
        self.0.push((title, figure));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.0.iter().copied()
    }
}

/// The figures of all runs. Shown as a table of medians and their ratio.
#[derive(Debug, Default)]
pub(crate) struct Report(BTreeMap<Kind, Vec<Figures>>);

impl Report {
    pub(crate) fn push(&mut self, kind: Kind, figures: Figures) {
        self.0.entry(kind).or_default().push(figures);
    }

    fn median_of(&self, kind: Kind, title: &str) -> Option<f64> {
        let figures = self.0.get(&kind)?.iter().flat_map(Figures::iter);
        let of_title: Vec<f64> = figures.filter(|(own, _)| *own == title).map(|(_, figure)| figure).collect();
        (!of_title.is_empty()).then(|| median(of_title))
    }

    fn runs(&self) -> usize {
        self.0.values().map(Vec::len).max().unwrap_or(0)
    }

    fn titles(&self) -> Vec<&'static str> {
        let first = self.0.values().flatten().next();
        first.map(|figures| figures.iter().map(|(title, _)| title).collect()).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (measured, reference) = COMPARED;
        let shown = |figure: Option<f64>| figure.map_or_else(|| "-".into(), |figure| format!("{figure:.3}"));
        writeln!(f, "| median of {} | {} | {} | ratio |", self.runs(), measured.name(), reference.name())?;
        writeln!(f, "| --- | ---: | ---: | ---: |")?;
        for title in self.titles() {
            let (ours, theirs) = (self.median_of(measured, title), self.median_of(reference, title));
            let ratio = ours.zip(theirs).map(|(ours, theirs)| ours / theirs);
            writeln!(f, "| {title} | {} | {} | {} |", shown(ours), shown(theirs), shown(ratio))?;
        }
        Ok(())
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = figures.get(middle).copied().unwrap_or(f64::NAN);
    match figures.len() % 2 {
        0 => (figures.get(middle.wrapping_sub(1)).copied().unwrap_or(f64::NAN) + upper) / 2.0,
        _ => upper,
    }
}
