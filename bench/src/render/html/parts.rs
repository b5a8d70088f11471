//! What several sections of the page are made of.

use maud::{Markup, PreEscaped, html};

use crate::results::cost::Kind;

/// A section of the page.
pub(super) struct Part {
    /// Its anchor.
    pub(super) id: &'static str,
    /// The text of the link to it.
    pub(super) link: &'static str,
    pub(super) title: &'static str,
    pub(super) text: Markup,
}

/// The word that marks the source of figures.
pub(super) fn chip(kind: Kind) -> Markup {
    html! { span class={ "chip " (kind.word()) } { (kind.word()) } }
}

/// A sentence without line breaks inside intervals.
pub(super) fn sentence(text: &str) -> Markup {
    PreEscaped(html! { (text) }.into_string().replace('–', "&#8288;–&#8288;"))
}

/// Wraps a table that may be wider than the screen.
pub(super) fn scrolled(table: &Markup) -> Markup {
    html! { div.scroll { (table) } }
}

/// The placeholder of a chart. Its label describes the chart in words.
pub(super) fn figure(kind: &str, of: &str, title: &str, note: &Markup, description: &str) -> Markup {
    html! {
        figure {
            figcaption { b { (title) } span.note { (note) } }
            div class={ "plot " (kind) } data-chart=(kind) data-of=(of) role="img"
                aria-label={ "Chart, " (title) ". " (description) } {}
        }
    }
}
