//! What follows in versions of a format: dates, a number that counts, and text.

use std::collections::BTreeMap;

use jiff::civil::Date;
use regex::Regex;

use super::Next;

/// What the date gives, by calver.org. Longer names come first: `YY` is the beginning of `YYYY`.
const DATE_PARTS: [&str; 9] = ["YYYY", "YY", "0Y", "MM", "0M", "WW", "0W", "DD", "0D"];

/// The number that counts, in a calendar's format.
const MICRO: &str = "MICRO";

/// The number that counts, in a template.
const N: &str = "n";

/// A piece of a format.
#[derive(Debug)]
enum Piece {
    /// Stands for itself; with the name of the value that it is.
    Text(String, Option<String>),
    /// By the date: its name.
    Date(&'static str),
    /// The number that counts: its name.
    Counter(&'static str),
}

/// A format with its date and its texts.
#[derive(Debug)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
    date: Date,
    /// Any version of this format, its parts by their pieces: `p0`, `p3` …
    any: Regex,
}

/// A version of the format: its place in time, its number, and itself.
type Known = (Vec<u64>, u64, String);

impl Pattern {
    /// `YYYY.0M.MICRO`.
    pub(super) fn calendar(format: &str, date: Date) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            let part = DATE_PARTS.into_iter().find(|part| rest.starts_with(part));
            if let Some(part) = part {
                pieces.push(Piece::Date(part));
                rest = &rest[part.len()..];
            } else if let Some(after) = rest.strip_prefix(MICRO) {
                pieces.push(Piece::Counter(MICRO));
                rest = after;
            } else {
                text(&mut pieces, first);
                rest = &rest[first.len_utf8()..];
            }
        }
        if !pieces.iter().any(|piece| matches!(piece, Piece::Date(_))) {
            return Err(format!("has no part of a date: {}", DATE_PARTS.join(", ")));
        }
        Self::of(pieces, date)
    }

    /// `{branch}-{n}`.
    pub(super) fn template(
        format: &str,
        values: &BTreeMap<String, String>,
        date: Date,
    ) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            let Some(after) = rest.strip_prefix('{') else {
                if first == '}' {
                    return Err("has a } without its {".to_owned());
                }
                text(&mut pieces, first);
                rest = &rest[first.len_utf8()..];
                continue;
            };
            let Some((name, after)) = after.split_once('}') else {
                return Err("has a { without its }".to_owned());
            };
            let part = DATE_PARTS.into_iter().find(|part| *part == name);
            pieces.push(match (part, values.get(name)) {
                (Some(part), _) => Piece::Date(part),
                (None, Some(value)) if value.is_empty() => {
                    return Err(format!("names {{{name}}}, whose value is empty"));
                }
                (None, Some(value)) => Piece::Text(value.clone(), Some(name.to_owned())),
                (None, None) if name == N => Piece::Counter(N),
                (None, None) => {
                    let mut known: Vec<_> = values.keys().map(String::as_str).collect();
                    known.push(N);
                    known.extend(DATE_PARTS);
                    return Err(format!("names {{{name}}}, which is none of {}", known.join(", ")));
                }
            });
            rest = after;
        }
        Self::of(pieces, date)
    }

    fn of(pieces: Vec<Piece>, date: Date) -> Result<Self, String> {
        let counters = pieces.iter().filter(|piece| matches!(piece, Piece::Counter(_)));
        if counters.count() > 1 {
            return Err("counts in more than one place".to_owned());
        }
        let has_number = |piece: &Piece| matches!(piece, Piece::Date(_) | Piece::Counter(_));
        if pieces.windows(2).any(|pair| {
            matches!(pair, [Piece::Counter(_), other] | [other, Piece::Counter(_)] if has_number(other) || digit_beside(pair))
        }) {
            return Err("has a digit right beside the number that counts; put a dot or a hyphen between".to_owned());
        }
        let mut expression = String::from(r"\A");
        for (at, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Text(text, _) => expression.push_str(&regex::escape(text)),
                Piece::Date("YYYY") => expression.push_str(&format!(r"(?<p{at}>[0-9]{{4}})")),
                Piece::Date(part) if part.starts_with('0') => {
                    expression.push_str(&format!(r"(?<p{at}>[0-9]{{2}})"));
                }
                Piece::Date(_) => expression.push_str(&format!(r"(?<p{at}>[1-9][0-9]?)")),
                Piece::Counter(_) => expression.push_str(&format!(r"(?<p{at}>0|[1-9][0-9]*)")),
            }
        }
        expression.push_str(r"\z");
        let any = Regex::new(&expression).map_err(|_| "is too long".to_owned())?;
        Ok(Self { pieces, date, any })
    }

    /// The greatest of some versions as it is.
    pub(super) fn kept(&self, versions: &[String]) -> Option<Next> {
        let (_, count, version) = self.known(versions).pop()?;
        let captures = self.any.captures(&version)?;
        let parts = self.named(count, |at, _| {
            captures
                .name(&format!("p{at}"))
                .map(|part| part.as_str().to_owned())
        });
        Some(Next {
            previous: Some(version.clone()),
            version,
            is_new: false,
            parts,
        })
    }

    /// What follows some versions; the number begins with `start`.
    pub(super) fn next(&self, versions: &[String], start: u64) -> Result<Next, String> {
        let known = self.known(versions);
        let now = self.time(|_, part| Some(self.date_part(part)));
        let last = known
            .iter()
            .filter(|(time, ..)| Some(time) == now.as_ref())
            .map(|(_, count, _)| *count)
            .max();
        let count = match last {
            None => start,
            Some(last) => last.checked_add(1).ok_or("the number is too large to grow")?,
        };
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text, _) => text.clone(),
            Piece::Date(part) => self.date_part(part),
            Piece::Counter(_) => count.to_string(),
        });
        let version: String = pieces.collect();
        Ok(Next {
            is_new: !versions.contains(&version),
            version,
            previous: known.into_iter().next_back().map(|(.., version)| version),
            parts: self.named(count, |_, part| Some(self.date_part(part))),
        })
    }

    /// Those of some texts that are of the format, in their order.
    fn known(&self, versions: &[String]) -> Vec<Known> {
        let read = |version: &String| {
            let captures = self.any.captures(version)?;
            let part = |at: usize| Some(captures.name(&format!("p{at}"))?.as_str().to_owned());
            let time = self.time(|at, _| part(at))?;
            let counter = self
                .pieces
                .iter()
                .position(|piece| matches!(piece, Piece::Counter(_)));
            let count = counter.map_or(Some(0), |at| part(at)?.parse().ok())?;
            Some((time, count, version.clone()))
        };
        let mut known: Vec<_> = versions.iter().filter_map(read).collect();
        known.sort();
        known
    }

    /// The parts of the date, the longest time first, from their texts by their place and name.
    fn time(&self, text: impl Fn(usize, &'static str) -> Option<String>) -> Option<Vec<u64>> {
        const LONGEST_FIRST: [char; 4] = ['Y', 'M', 'W', 'D'];
        let mut parts = Vec::new();
        for unit in LONGEST_FIRST {
            for (at, piece) in self.pieces.iter().enumerate() {
                if let Piece::Date(part) = piece
                    && part.ends_with(unit)
                {
                    parts.push(text(at, part)?.parse().ok()?);
                }
            }
        }
        Some(parts)
    }

    fn named(
        &self,
        count: u64,
        date: impl Fn(usize, &'static str) -> Option<String>,
    ) -> BTreeMap<String, String> {
        let parts = self.pieces.iter().enumerate().filter_map(|(at, piece)| {
            Some(match piece {
                Piece::Text(text, name) => (name.clone()?, text.clone()),
                Piece::Date(part) => ((*part).to_owned(), date(at, part)?),
                Piece::Counter(name) => ((*name).to_owned(), count.to_string()),
            })
        });
        parts.collect()
    }

    fn date_part(&self, part: &str) -> String {
        let week = self.date.iso_week_date();
        // A year of weeks does not begin on the first of January.
        let by_week = self
            .pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Date("WW" | "0W")));
        let year = if by_week { week.year() } else { self.date.year() };
        // As calver.org has it: the short year counts from 2000.
        let short_year = i32::from(year) - 2000;
        match part {
            "YYYY" => format!("{year:04}"),
            "YY" => short_year.to_string(),
            "0Y" => format!("{short_year:02}"),
            "MM" => self.date.month().to_string(),
            "0M" => format!("{:02}", self.date.month()),
            "WW" => week.week().to_string(),
            "0W" => format!("{:02}", week.week()),
            "DD" => self.date.day().to_string(),
            _ => format!("{:02}", self.date.day()),
        }
    }
}

/// Adds a character to the text at the end.
fn text(pieces: &mut Vec<Piece>, character: char) {
    if let Some(Piece::Text(text, None)) = pieces.last_mut() {
        text.push(character);
    } else {
        pieces.push(Piece::Text(character.to_string(), None));
    }
}

/// Whether a text beside the counter has a digit there.
fn digit_beside(pair: &[Piece]) -> bool {
    let is_digit = |character: Option<char>| character.is_some_and(|character| character.is_ascii_digit());
    match pair {
        [Piece::Text(text, _), Piece::Counter(_)] => is_digit(text.chars().next_back()),
        [Piece::Counter(_), Piece::Text(text, _)] => is_digit(text.chars().next()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn next(pattern: &Pattern, versions: &[&str]) -> (String, Option<String>) {
        let versions: Vec<String> = versions.iter().map(|text| (*text).to_owned()).collect();
        let next = pattern.next(&versions, 0).unwrap();
        (next.version, next.previous)
    }

    #[test]
    fn a_calendar_counts_within_its_date() {
        let pattern = Pattern::calendar("YYYY.0M.MICRO", date("2026-03-09")).unwrap();
        assert_eq!(next(&pattern, &[]), ("2026.03.0".into(), None));
        let older = ["2026.02.7", "2025.12.11", "main", "2026.2.9"];
        assert_eq!(
            next(&pattern, &older),
            ("2026.03.0".into(), Some("2026.02.7".into()))
        );
        let same = ["2026.03.9", "2026.03.10", "2026.02.99"];
        assert_eq!(
            next(&pattern, &same),
            ("2026.03.11".into(), Some("2026.03.10".into()))
        );
    }

    #[test]
    fn every_part_of_a_date_is_known_and_years_of_weeks_are_their_own() {
        let day = date("2027-01-02");
        let of = |format: &str| next(&Pattern::calendar(format, day).unwrap(), &[]).0;
        assert_eq!(of("YYYY/YY/0Y/MM/0M/DD/0D"), "2027/27/27/1/01/2/02");
        assert_eq!(of("YYYY.WW"), "2026.53");
        assert_eq!(of("v0D-0M-YYYY"), "v02-01-2027");
        // Ordered by time, wherever the year stands.
        let pattern = Pattern::calendar("0D.0M.YYYY", day).unwrap();
        let previous = next(&pattern, &["31.01.2025", "01.12.2026"]).1;
        assert_eq!(previous.as_deref(), Some("01.12.2026"));
    }

    #[test]
    fn a_template_counts_what_is_like_it() {
        let values = BTreeMap::from([("branch".to_owned(), "a.b".to_owned())]);
        let pattern = Pattern::template("{branch}-{n}", &values, date("2026-03-09")).unwrap();
        let (version, previous) = next(&pattern, &["a.b-9", "a.b-10", "axb-77", "a.b-011"]);
        assert_eq!((&*version, previous.as_deref()), ("a.b-11", Some("a.b-10")));
        let kept = pattern.kept(&["a.b-9".to_owned()]).unwrap();
        assert_eq!(
            kept.parts,
            BTreeMap::from([("branch".into(), "a.b".into()), ("n".into(), "9".into())])
        );
    }

    #[test]
    fn what_makes_no_format_is_refused_in_words() {
        let day = date("2026-03-09");
        for (format, said) in [
            ("{n}{n}", "more than one"),
            ("{n}-{n}", "more than one"),
            ("1{n}", "right beside"),
            ("{n}{YYYY}", "right beside"),
            ("{branch}", "none of n, YYYY"),
            ("{n", "without its }"),
            ("n}", "without its {"),
        ] {
            let error = Pattern::template(format, &BTreeMap::new(), day).unwrap_err();
            assert!(error.contains(said), "{format}: {error}");
        }
        let error = Pattern::calendar("MICRO", day).unwrap_err();
        assert!(error.contains("no part of a date"), "{error}");
    }
}
