use std::fmt::Write;

use qrcode::{Color, QrCode};

/// Light modules around the code (ISO/IEC 18004 asks for four).
const MARGIN: usize = 4;

/// A QR code as an SVG image, to stand inside a page; `None` for a text that is too long for one.
pub fn qr_svg(text: &str) -> Option<String> {
    let modules = Modules::of(text)?;
    let side = modules.side;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path fill=\"#000\" d=\""
    );
    for (y, row) in modules.rows().enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run.first() == Some(&true) {
                // Writing into a string does not fail.
                let _ = write!(svg, "M{x} {y}h{0}v1h-{0}z", run.len());
            }
            x += run.len();
        }
    }
    svg.push_str("\"/></svg>");
    Some(svg)
}

/// A QR code for a terminal, light on dark, two modules to a character; `None` for a text that is too long for one.
pub fn qr_terminal(text: &str) -> Option<String> {
    let modules = Modules::of(text)?;
    let rows: Vec<&[bool]> = modules.rows().collect();
    let mut lines = String::new();
    for pair in rows.chunks(2) {
        let upper = pair.first().copied().unwrap_or_default();
        let lower = pair.get(1).copied();
        for (x, is_upper_dark) in upper.iter().enumerate() {
            let is_lower_dark = lower.and_then(|row| row.get(x)).is_none_or(|dark| *dark);
            lines.push(match (is_upper_dark, is_lower_dark) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        lines.push('\n');
    }
    Some(lines)
}

/// The dark modules of a code with its margin, row by row.
struct Modules {
    side: usize,
    dark: Vec<bool>,
}

impl Modules {
    fn of(text: &str) -> Option<Self> {
        let code = QrCode::new(text).ok()?;
        let side = code.width() + 2 * MARGIN;
        let blank = vec![false; side];
        let mut dark: Vec<bool> = blank.repeat(MARGIN);
        for row in code.to_colors().chunks(code.width()) {
            dark.extend([false; MARGIN]);
            dark.extend(row.iter().map(|color| *color == Color::Dark));
            dark.extend([false; MARGIN]);
        }
        dark.extend(blank.repeat(MARGIN));
        Some(Self { side, dark })
    }

    fn rows(&self) -> impl Iterator<Item = &[bool]> {
        self.dark.chunks(self.side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "https://mail.example.org/device?user_code=WDJB-MJHT";

    /// The finder pattern (ISO/IEC 18004 §6.3.3.1): seven modules a side, a ring, and three by three in the middle.
    const FINDER: [&str; 7] = ["#######", "#     #", "# ### #", "# ### #", "# ### #", "#     #", "#######"];

    #[test]
    fn a_finder_pattern_is_in_three_corners_inside_the_margin() {
        let modules = Modules::of(ADDRESS).unwrap();
        let rows: Vec<&[bool]> = modules.rows().collect();
        assert_eq!(rows.len(), modules.side);
        let far = modules.side - MARGIN - 7;
        for (top, left) in [(MARGIN, MARGIN), (MARGIN, far), (far, MARGIN)] {
            for (y, line) in FINDER.iter().enumerate() {
                let seen: String =
                    rows[top + y][left..left + 7].iter().map(|dark| if *dark { '#' } else { ' ' }).collect();
                assert_eq!(&seen, line);
            }
        }
        assert!(rows[..MARGIN].iter().all(|row| row.iter().all(|dark| !dark)));
    }

    #[test]
    fn terminal_and_image_show_the_same_code() {
        let modules = Modules::of(ADDRESS).unwrap();
        let shown = qr_terminal(ADDRESS).unwrap();
        let lines: Vec<Vec<char>> = shown.lines().map(|line| line.chars().collect()).collect();
        for (y, row) in modules.rows().enumerate() {
            for (x, dark) in row.iter().enumerate() {
                let lit = if y % 2 == 0 { ['█', '▀'] } else { ['█', '▄'] };
                assert_eq!(!lit.contains(&lines[y / 2][x]), *dark, "{x} {y}");
            }
        }
        let area: usize = qr_svg(ADDRESS)
            .unwrap()
            .split("v1h-")
            .filter_map(|part| part.rsplit_once('h')?.1.parse::<usize>().ok())
            .sum();
        assert_eq!(area, modules.dark.iter().filter(|dark| **dark).count());
    }

    #[test]
    fn a_text_that_is_too_long_gives_no_code() {
        assert_eq!(qr_svg(&"x".repeat(5000)), None);
        assert_eq!(qr_terminal(&"x".repeat(5000)), None);
    }
}
