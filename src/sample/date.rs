//! Dates as mail writes them: RFC 3501 `date-time` and `date`, and RFC 5322 `date-time`.

use crate::model::UnixTime;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY: i64 = 86_400;

/// ` 4-Nov-2026 10:00:00 +0000`, as INTERNALDATE is written (RFC 3501 §9 `date-time`).
pub(super) fn internal(time: UnixTime) -> String {
    let (year, month, day) = civil(time.0.div_euclid(DAY));
    format!("{day:2}-{}-{year:04} {} +0000", month_name(month), clock(time))
}

/// `Wed, 04 Nov 2026 10:00:00 +0000` (RFC 5322 §3.3).
pub(super) fn header(time: UnixTime) -> String {
    let days = time.0.div_euclid(DAY);
    let (year, month, day) = civil(days);
    let weekday = usize::try_from(days.rem_euclid(7)).ok().and_then(|index| WEEKDAYS.get(index));
    let weekday = weekday.copied().unwrap_or("Thu");
    format!("{weekday}, {day:02} {} {year:04} {} +0000", month_name(month), clock(time))
}

/// Reads what [`internal`] writes, in any zone.
pub(super) fn parse_internal(text: &str) -> Option<UnixTime> {
    let mut words = text.split_ascii_whitespace();
    let day = parse_day(words.next()?)?;
    let mut clock = words.next()?.split(':').map(|field| field.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let zone: i64 = words.next()?.parse().ok()?;
    let fits = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    if !fits || zone.abs() > 1400 || words.next().is_some() || clock.next().is_some() {
        return None;
    }
    let offset = (zone / 100) * 3600 + (zone % 100) * 60;
    Some(UnixTime(day * DAY + hour * 3600 + minute * 60 + second - offset))
}

/// Days since 1970-01-01 of `4-Nov-2026` (RFC 3501 §9 `date`).
pub(super) fn parse_day(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    days(parts.next()?, parts.next()?, parts.next()?)
}

/// Days since 1970-01-01 of a Date header (RFC 5322 §3.3), in the sender's zone.
pub(super) fn parse_header_day(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    days(words.next()?, words.next()?, words.next()?)
}

/// Days since 1970-01-01 of a moment, in UTC.
pub(super) fn day_of(time: UnixTime) -> i64 {
    time.0.div_euclid(DAY)
}

fn clock(time: UnixTime) -> String {
    let second = time.0.rem_euclid(DAY);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

fn month_name(month: i64) -> &'static str {
    usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or("Jan")
}

/// Year, month and day of a count of days since 1970-01-01, by whole 400-year cycles that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let cycle = days.div_euclid(146_097);
    let in_cycle = days.rem_euclid(146_097);
    let year = (in_cycle - in_cycle / 1460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (365 * year + year / 4 - year / 100);
    let shifted = (5 * in_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + cycle * 400 + i64::from(month <= 2), month, in_year - (153 * shifted + 2) / 5 + 1)
}

fn days(day: &str, month: &str, year: &str) -> Option<i64> {
    let day: i64 = day.parse().ok()?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let year: i64 = year.parse().ok()?;
    if !(1..=31).contains(&day) || !(1..=9999).contains(&year) {
        return None;
    }
    let month = i64::try_from(month).ok()? + 1;
    let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let in_cycle = year.rem_euclid(400);
    let in_year = (153 * shifted + 2) / 5 + day - 1;
    Some(year.div_euclid(400) * 146_097 + in_cycle * 365 + in_cycle / 4 - in_cycle / 100 + in_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_the_rfcs_write_them() {
        let time = UnixTime(1_709_164_800 + 3_723);
        assert_eq!(internal(time), "29-Feb-2024 01:02:03 +0000");
        assert_eq!(header(time), "Thu, 29 Feb 2024 01:02:03 +0000");
        assert_eq!(internal(UnixTime(0)), " 1-Jan-1970 00:00:00 +0000");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for second in [0, 951_782_399, 951_868_800, 1_709_164_800, 4_102_444_799, 7_258_118_400] {
            assert_eq!(parse_internal(&internal(UnixTime(second))), Some(UnixTime(second)));
            assert_eq!(parse_header_day(&header(UnixTime(second))), Some(day_of(UnixTime(second))));
        }
    }

    #[test]
    fn a_zone_is_taken_off() {
        let east = parse_internal("29-Feb-2024 02:02:03 +0100");
        let west = parse_internal("28-Feb-2024 19:32:03 -0530");
        assert_eq!(east, Some(UnixTime(1_709_164_800 + 3_723)));
        assert_eq!(east, west);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for bad in [
            "",
            "1-Foo-2024 00:00:00 +0000",
            "1-Jan-2024",
            "1-Jan-2024 25:00:00 +0000",
            "99-Jan-2024 1:1:1 +0000",
        ] {
            assert_eq!(parse_internal(bad), None, "{bad:?}");
        }
    }
}
