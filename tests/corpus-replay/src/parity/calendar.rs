//! The few dates of the recordings: `2023-11-22T22:00:00+00:00`, always UTC.

/// Seconds since 1970; a fraction is dropped.
pub fn seconds(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let time = time.split(['+', 'Z', '.']).next()?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// The same the other way round.
pub fn text(seconds: i64) -> String {
    let (mut left, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years before the one are at least as long as this, so the guess is never too late by more than one.
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

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let numbers: Option<Vec<i64>> = text.split(between).map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // The year is taken to begin in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_there_and_back() {
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
            assert_eq!((seconds(written), text(number).as_str()), (Some(number), written));
        }
        assert_eq!(seconds("2023-11-22T22:00:00.250000+00:00"), Some(1_700_690_400));
        assert_eq!(seconds("yesterday"), None);
    }
}
