//! Timestamps of the recordings: `2023-11-22T22:00:00+00:00`, always UTC.

/// Parses a timestamp to Unix time in seconds; a fraction is dropped.
pub fn parse(timestamp: &str) -> Option<i64> {
    let (date, time) = timestamp.split_once('T')?;
    let time = time.split(['+', 'Z', '.']).next()?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Formats Unix time in seconds.
pub fn format(seconds: i64) -> String {
    let (mut left, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // A lower bound of the year; the loop finds the exact one.
    let mut year = 1970 + left.div_euclid(366).min(left.div_euclid(365));
    while days(year + 1, 1, 1) <= left {
        year += 1;
    }
    left -= days(year, 1, 1);
    let month = (1..=12).rev().find(|month| days(year, *month, 1) - days(year, 1, 1) <= left).unwrap_or(1);
    let day = left - (days(year, month, 1) - days(year, 1, 1)) + 1;
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
}

fn numbers(string: &str, separator: char) -> Option<[i64; 3]> {
    let numbers: Option<Vec<i64>> = string.split(separator).map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Returns the days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Counts years from March, so that the leap day is the last day of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_parse_reverses_format() {
        for (written, number) in [
            ("1970-01-01T00:00:00+00:00", 0),
            ("1969-12-31T23:59:59+00:00", -1),
            ("2023-11-22T22:00:00+00:00", 1_700_690_400),
            ("2000-02-29T12:34:56+00:00", 951_827_696),
            ("2286-11-20T17:46:39+00:00", 9_999_999_999),
            ("9999-12-31T23:59:59+00:00", 253_402_300_799),
            ("0001-01-01T00:00:00+00:00", -62_135_596_800),
            ("1970-04-26T17:46:40+00:00", 10_000_000),
        ] {
            assert_eq!((parse(written), format(number).as_str()), (Some(number), written));
        }
        assert_eq!(parse("2023-11-22T22:00:00.250000+00:00"), Some(1_700_690_400));
        assert_eq!(parse("yesterday"), None);
    }
}
